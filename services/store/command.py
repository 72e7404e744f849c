"""How rclone is started as an S3 server over a folder, and what is tidied before."""

import sys
from pathlib import Path


def make_command(root: Path, address: str, port: int, seen_after_s: int) -> list[str]:
    """The command that runs the server; a bucket is a folder in `root`.

    Without a cache of its own (`--vfs-cache-mode off`): an object is written beside its key and renamed
    when it is complete, so a put that breaks off leaves the old object. While one is replaced by another
    of a different size, a reader may for an instant find none, or a broken answer. The ETag is the MD5
    of the content (`--etag-hash MD5`, the default), worked out once an object after each start. Metadata
    of a put (`x-amz-meta-…`) is kept in memory only.

    seen_after_s: how soon it sees what another process has changed in the folder. With 0 each request reads
    the folders again: some 30 times slower, and right only where others write.
    """
    binary = Path(sys.executable).parent / "rclone"
    command = [str(binary), "serve", "s3", str(root), "--addr", f"{address}:{port}"]
    return [*command, "--dir-cache-time", f"{seen_after_s}s"]


def sweep(root: Path) -> int:
    """Remove what uploads have left that were cut off by the death of the server; how many files that were.

    rclone writes an object under another name in the same folder and renames it when it is whole. Nobody
    else may serve the folder meanwhile.
    """
    left = list(root.rglob(".rclone_temp_put_*"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
