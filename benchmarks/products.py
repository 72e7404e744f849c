"""Products with pixels everywhere and the coding parameters of genuine ones; made once, kept outside git."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from landpatch.grid import lay_grid
from landpatch.patch import Patch
from landpatch.radiometry import REFLECTANCE_BANDS
from landpatch.sources.eodata import NATIVE_SIZE_M, SCENE_CLASS
from services.sandbox.jp2 import GRIDS, BandGrid, write_jp2
from services.sandbox.landscape import load_regions
from services.sandbox.metadata import describe_file

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("LANDPATCH_STATE_DIR") or ROOT / ".state").resolve() / "bench"
EPSG, UPPER_LEFT = 32631, (399960, 5500020)
"""Tile 31UDQ, which holds Paris."""
METADATA = (
    "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.SAFE",
    "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500.SAFE",
)
"""Genuine metadata, with an offset and without."""


def product_name(number: int, with_tlm: bool) -> str:
    """A name such as products have; those with TLM markers are of a baseline that writes them."""
    baseline = "0512" if with_tlm else "0510"
    return (
        f"S2A_MSIL2A_202306{number + 1:02d}T105031_N{baseline}_R051_T31UDQ_202306{number + 1:02d}T165000.SAFE"
    )


def product_path(name: str) -> str:
    """Where a product lies in the EO data store, without the bucket."""
    return f"Sentinel-2/MSI/L2A/2023/06/{name[17:19]}/{name}"


def make_product(name: str, root: Path, with_tlm: bool) -> None:
    """Put a product's tree under `root`/eodata; its files are links to those of the cache."""
    folder = root / "eodata" / product_path(name)
    if (folder / "MTD_MSIL2A.xml").exists():
        return
    for number, band in enumerate((*REFLECTANCE_BANDS, SCENE_CLASS)):
        size_m = NATIVE_SIZE_M[band]
        label = band if band == SCENE_CLASS or len(band) == 3 else f"B0{band[1]}"
        path = (
            folder / f"GRANULE/L2A_T31UDQ_A041234_20230601T105030/IMG_DATA/R{size_m}m"
            f"/T31UDQ_20230601T105031_{label}_{size_m}m.jp2"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(_band_file(size_m, -1 if band == SCENE_CLASS else number % 2, with_tlm), path)
    genuine = ROOT / "tests/data/sentinel2" / METADATA[0] / "MTD_MSIL2A.xml"
    (folder / "MTD_MSIL2A.xml").write_bytes(genuine.read_bytes())
    files = sorted(path for path in folder.rglob("*.*") if path.is_file())
    entries = [
        describe_file(path.stem, path.relative_to(folder).as_posix(), path.read_bytes()) for path in files
    ]
    (folder / "manifest.safe").write_text(f"<dataObjectSection>{''.join(entries)}</dataObjectSection>")


def _band_file(size_m: int, seed: int, with_tlm: bool) -> Path:
    """A band of one pixel size; seed -1: the scene classification, all clear."""
    path = CACHE / f"band_{size_m}m_{seed}{'_tlm' if with_tlm else ''}.jp2"
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    grid = GRIDS[size_m]
    image = _classes(grid) if seed < 0 else _noisy_field(grid, seed)
    pieces = {
        (row, col): image[grid.span(row), grid.span(col)]
        for row in range(grid.tiles)
        for col in range(grid.tiles)
    }
    data = write_jp2(grid, pieces, EPSG, UPPER_LEFT, CACHE, bits=8 if seed < 0 else 15, with_tlm=with_tlm)
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.rename(path)
    return path


def _classes(grid: BandGrid) -> NDArray[np.uint8]:
    classes = np.full((grid.size, grid.size), 4, "uint8")
    classes[::7, ::5] = 5
    return classes


def _noisy_field(grid: BandGrid, seed: int) -> NDArray[np.uint16]:
    """Noise over slow waves, so strong that a 10 m band has some 120 MB, as genuine ones in summer."""
    rng = np.random.default_rng(seed)
    waves = 300 * np.sin(np.arange(grid.size) / (400 / grid.pixel_m))
    image = rng.normal(1500, 45, (grid.size, grid.size)) + waves[:, None] + waves[None, :]
    return image.astype("uint16")


def patches_of(what: int | str) -> list[Patch]:
    """So many patches of the tile, or those of a region that lies in it."""
    return patches_of_tile(what) if isinstance(what, int) else lay_grid(load_regions()[what])


def patches_of_tile(most: int) -> list[Patch]:
    """Patches that lie whole in the tile, from its north-west corner on."""
    to_grid = Transformer.from_crs(f"EPSG:{EPSG}", "EPSG:3035", always_xy=True)
    to_tile = Transformer.from_crs("EPSG:3035", f"EPSG:{EPSG}", always_xy=True)
    left, top = UPPER_LEFT
    x, y = to_grid.transform(left + 54_900, top - 54_900)
    steps = 2500 * np.arange(-26, 27)
    east, north = np.meshgrid(x // 2500 * 2500 + steps, y // 2500 * 2500 - steps)
    inside = np.ones(east.shape, dtype=np.bool_)
    for corner_east, corner_north in ((0, 0), (2500, 0), (0, 2500), (2500, 2500)):
        at_x, at_y = to_tile.transform(east + corner_east, north + corner_north)
        inside &= (at_x > left) & (at_x < left + 109_800) & (at_y < top) & (at_y > top - 109_800)
    corners = zip(east[inside].tolist(), north[inside].tolist(), strict=True)
    patches = [Patch(number, int(xmin), int(ymin), 0) for number, (xmin, ymin) in enumerate(corners)]
    return patches[:most]
