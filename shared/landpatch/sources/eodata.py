"""Bands of a product: the EO data store of the Copernicus Data Space Ecosystem, over S3."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from landpatch.errors import ConfigurationError, PermanentError, RefusedError, TransientError
from landpatch.messages import SceneRef
from landpatch.quota import Governor, open_governor
from landpatch.settings import Settings
from landpatch.sources.account import TRIES, Account, Traffic, read_paced
from landpatch.sources.product_files import (
    MAX_FILE_BYTES,
    MAX_FILES,
    NATIVE_SIZE_M,
    SCENE_CLASS,
    ProductFiles,
    RemoteFiles,
    Versions,
    resolve_files,
)
from landpatch.storage import check_listing, make_s3_client, translate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

__all__ = ["NATIVE_SIZE_M", "SCENE_CLASS", "EOData", "open_eodata", "resolve_files"]

T = TypeVar("T")
BUCKET = "eodata"
MAX_PAGES = 20
_REFUSALS = {429, 498, 503}


class EOData:
    """The EO data store, asked within the account's quota. Its methods may be called from many threads."""

    def __init__(self, client: "S3Client", endpoint: str, governor: Governor) -> None:
        """client: made for the EO data store alone, without retries of its own. endpoint: its URL."""
        self._client = client
        self._account = Account(governor)
        self._what = f"the EO data store (LANDPATCH_EO_S3_ENDPOINT={endpoint})"

    @property
    def connections(self) -> int:
        """How many requests at a time are worth trying."""
        return self._account.governor.quota.connections

    def open_product(self, scene: SceneRef, most_bytes: int) -> RemoteFiles:
        """Find the files of a product; none of them is loaded.

        Raises PermanentError that names what is missing.
        """
        files = self.find_files(scene.s3_path, scene.name)
        # With a store that is asked for parts, a file may be another one from one part to the next.
        return RemoteFiles(files, partial(self.read_range, versions=Versions(files.sizes)))

    def find_files(self, s3_path: str, product: str) -> ProductFiles:
        """Find the files of a product by listing its folder, not by guessing names.

        Raises PermanentError that names what is missing.
        """
        folder = s3_path.strip("/")
        sizes: dict[str, int] = {}
        token = ""
        for _ in range(MAX_PAGES):
            page = self._ask(0, partial(self._list, f"{folder}/", token), self._what)
            sizes |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
            if len(sizes) > MAX_FILES:
                raise PermanentError(f"{product}: its folder has more than {MAX_FILES} files")
            token = page.get("NextContinuationToken", "")
            if not token:
                return resolve_files(sizes, folder, product)
        raise PermanentError(f"{product}: its folder has no end after {MAX_PAGES} pages")

    def _list(self, prefix: str, token: str, _: float) -> "ListObjectsV2OutputTypeDef":
        if token:
            page = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix, ContinuationToken=token)
        else:
            page = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        check_listing(page, prefix, self._what, TransientError)
        return page

    def read(self, key: str, size: int) -> bytes:
        """A file's bytes, whole. Raises TransientError when fewer arrive than the listing said."""
        return self.read_range(key, 0, size)

    def read_range(self, key: str, start: int, length: int, versions: Versions | None = None) -> bytes:
        """So many bytes of a file from an offset on, of the version that was read of it first.

        Raises PermanentError for a file that is not there or larger than a band is, TransientError when
        the store cannot give them now.
        """
        name = key.rsplit("/", 1)[-1]
        if start + length > max(MAX_FILE_BYTES.values()):
            raise PermanentError(f"{name}: {start + length} bytes are more than a band has")

        def read(bytes_per_s: float) -> bytes:
            asked = f"bytes={start}-{start + length - 1}"
            answer = self._client.get_object(Bucket=BUCKET, Key=key, Range=asked)
            with closing(answer["Body"]) as body:
                given = answer.get("ContentRange", "")
                if not given.startswith(f"bytes {start}-{start + length - 1}/"):
                    raise TransientError(f"{name}: asked for {asked}, was given {given or 'the whole file'}")
                if versions is not None:
                    versions.check(key, answer.get("ETag", ""), given.rpartition("/")[2])
                data = read_paced(body, length, bytes_per_s)
            if len(data) != length:
                raise TransientError(f"{name}: {len(data)} of {length} bytes arrived")
            return data

        return self._ask(length, read, f"{self._what}, asked for {name},")

    def check(self) -> None:
        """Raise ConfigurationError or TransientError when the store cannot be used."""
        self._ask(0, partial(self._list, "Sentinel-2/MSI/L2A/2015/07/", ""), self._what, tries=1)

    def counting(self) -> AbstractContextManager[Traffic]:
        """Bytes and requests while the context lasts; complete when it ends."""
        return self._account.counting()

    def _ask(self, size: int, request: Callable[[float], T], what: str, tries: int = TRIES) -> T:
        """Do a request of the account; what: names store and file for a person."""

        def ask(bytes_per_s: float) -> T:
            with _translated(what):
                return request(bytes_per_s)

        return self._account.ask(size, ask, tries)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Errors of the store as errors of landpatch."""
    try:
        yield
    except ClientError as error:
        answer = error.response["ResponseMetadata"]
        if answer["HTTPStatusCode"] in _REFUSALS:
            wait = answer["HTTPHeaders"].get("retry-after", "")
            message = f"{what} asks to wait ({answer['HTTPStatusCode']})"
            raise RefusedError(message, float(wait) if wait.isdecimal() else None) from error
        raise translate(error, what) from error
    except BotoCoreError as error:
        raise translate(error, what) from error
    except (HTTPError, OSError) as error:
        raise TransientError(f"{what} broke off: {type(error).__name__}") from error


def open_eodata(settings: Settings) -> EOData:
    """The EO data store of the settings. Raises ConfigurationError when credentials are missing."""
    if settings.eo_access_key is None or settings.eo_secret_key is None:
        raise ConfigurationError(
            "no credentials for the EO data store: set EO_S3_ACCESS_KEY_ID and EO_S3_SECRET_ACCESS_KEY"
        )
    client = make_s3_client(
        settings.eo_endpoint,
        settings.eo_access_key,
        settings.eo_secret_key,
        connections=settings.eo_connections,
        retries=0,  # the governor has to know of every request
    )
    return EOData(client, settings.eo_endpoint, open_governor(settings))
