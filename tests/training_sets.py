"""Small training sets whose pixels tell where they are, as landpatch writes them and as the public one is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from rasterio.transform import from_origin

from landpatch.codec import encode_image, encode_label
from landpatch.index import PatchRow, build_filename2bbox, build_normalization, build_patches
from landpatch.inventory import describe_image, describe_label
from landpatch.layout import RegionLayout
from landpatch.patch import parse_patch

PARIS = [
    f"{3755000 + 2500 * col}_{2887500 + 2500 * row}_0_{col + 9 * row}" for row in (0, 1) for col in (0, 1)
]
"""Four cells side by side."""
LUXEMBOURG = ["4042000_2951690_0_637", "4042000_2954190_0_680", "4044500_2951690_0_638"]
"""Three cells of a grid that is anchored elsewhere; the first is the tutorial's."""
PRODUCT = "S2A_MSIL2A_20210601T105031_N0500_R051_T31UDQ_20230212T061204"
OTHER_PRODUCT = "S2B_MSIL2A_20210716T104619_N0500_R051_T31UDQ_20230131T174142"


def centres(xmin: float, ymin: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel's centre of a patch, (y, x), metres."""
    x, y = xmin + 5 + 10 * np.arange(250), ymin + 2495 - 10 * np.arange(250)
    return np.broadcast_to(x, (250, 250)), np.broadcast_to(y[:, None], (250, 250))


def bands_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What band k of every image shows: k + x / 10^8 in even bands, k + y / 10^8 in odd ones."""
    return np.stack([band + (y if band % 2 else x) / 1e8 for band in range(14)])


def classes_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The class of every pixel: squares of 500 m, of classes 1 to 9."""
    return (1 + (x // 500 + 3 * (y // 500)) % 9).astype("uint8")


def write_own(
    root: Path,
    nuts: str,
    year: int,
    patches: Sequence[str],
    *,
    clear: Sequence[float] = (),
    unlabelled: Sequence[str] = (),
    water: Sequence[str] = (),
    source: str = "clcplus",
    names: Mapping[int, str] | None = None,
) -> None:
    """A region as landpatch writes it, with all its indexes.

    clear: clear fraction by patch, 1 by default. water: the patches of which one pixel is of class 10.
    source, names: of the labels and their classes, as the index has them.
    """
    layout = RegionLayout("data", nuts, year)
    rows = []
    for number, patch in enumerate(patches):
        cell = parse_patch(patch)
        x, y = centres(cell.xmin, cell.ymin)
        fraction = clear[number] if clear else 1.0
        tags = {
            "RECIPE": "source=sandbox;test", "SOURCE": "sandbox", "VALID_FRACTION": "1.0",
            "CLEAR_FRACTION": str(fraction), "PRODUCTS": f"{PRODUCT},{OTHER_PRODUCT}",
            "SENSING_DATES": "2021-06-01T10:50:31Z,2021-07-16T10:46:19Z", "BASELINES": "05.00,05.00",
            "SHARES": "0.25,0.75",
        }  # fmt: skip
        image = encode_image(bands_at(x, y), cell, tags)
        classes = classes_at(x, y)
        if patch in water:
            classes[7, 11] = 10
        label = encode_label(classes)
        _put(root, layout.image(patch), image)
        labelled = patch not in unlabelled
        if labelled:
            _put(root, layout.label(patch), label)
        facts = replace(describe_label(label, patch, "etag"), source=source) if labelled else None
        rows.append(PatchRow(patch, "complete", "", describe_image(image, patch, "etag"), facts, ""))
    rows.append(PatchRow("10000_2887500_1_99999", "missing", "no valid pixel", None, None, ""))
    _put(root, layout.filename2bbox, build_filename2bbox(rows))
    _put(root, layout.patches, build_patches(rows, classes=names))
    _put(root, layout.normalization, build_normalization(rows))


def write_public(root: Path, nuts: str, year: int, patches: Sequence[str], *, labels: bool = True) -> None:
    """A region as the public training set has it: one index, patches anywhere, images without tags."""
    images, folder = (root / "data" / kind / nuts / str(year) for kind in ("images", "labels"))
    images.mkdir(parents=True)
    boxes = []
    for patch in patches:
        xmin, ymin, _, _ = map(int, patch.split("_"))
        x, y = centres(xmin, ymin)
        with rasterio.open(
            images / f"{patch}.tif", "w", driver="GTiff", width=250, height=250, count=14, dtype="float64",
            crs="EPSG:3035", transform=from_origin(xmin, ymin + 2500, 10, 10), interleave="pixel",
        ) as image:  # fmt: skip
            image.write(bands_at(x, y))
        if labels:
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{patch}.npy", classes_at(x, y))
        boxes.append([xmin, ymin, xmin + 2500, ymin + 2500])
    index = pd.DataFrame({"filename": [f"{patch}.tif" for patch in patches], "bbox": boxes})
    index.to_parquet(images / "filename2bbox.parquet")


def _put(root: Path, key: str, data: bytes) -> None:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
