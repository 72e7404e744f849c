"""Draw the pictures of docs/data.md: `python scripts/pictures.py .state docs/img`.

Needs FR101 and LU000 of 2021, built from the sandbox, in the state folder, and the genuine data of the tests.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import rasterio
import rasterio.warp
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from rasterio.windows import from_bounds

from landpatch.alignment import MAX_SHIFT, compare_edges
from landpatch.composite import Observation, compose_best, compose_median
from landpatch.metadata import parse_radiometry
from landpatch.patch import Patch, parse_patch
from landpatch.radiometry import CLEAR, UNSEEN
from landpatch.sources.eodata import resolve_files
from landpatch.warp import NativeGrid, Warp, project_patch
from services.image_worker.cut import cut_patches, locate_patches, needed_tiles
from services.image_worker.loader import Room
from services.image_worker.product import MemoryProduct

mpl.use("Agg")
GENUINE = Path("tests/data/sentinel2/S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.SAFE")
TRUE_COLOUR = (4, 3, 2)


class Built:
    """What a state folder holds of a region."""

    def __init__(self, state: Path, nuts: str) -> None:
        self.images = state / "store/landpatch/data/images" / nuts / "2021"
        self.products = {path.name: path for path in (state / "sandbox/eodata").glob("*/*/*/*/*/*/*.SAFE")}
        self.rows = pd.read_parquet(self.images / "patches.parquet").set_index("patch")

    def image(self, patch: str) -> np.ndarray:
        with rasterio.open(self.images / f"{patch}.tif") as image:
            return image.read()

    def label(self, patch: str) -> np.ndarray:
        return np.load(str(self.images / f"{patch}.npy").replace("/images/", "/labels/"))

    def product(self, name: str) -> MemoryProduct:
        folder = self.products[name]
        sizes = {str(path.relative_to(folder.parent)): path.stat().st_size for path in folder.rglob("*.*")}
        files = resolve_files(sizes, name, name)
        radiometry = parse_radiometry((folder.parent / files.metadata).read_bytes(), name)
        bands = {band: (folder.parent / key).read_bytes() for band, key in files.bands.items()}
        return MemoryProduct(name, radiometry, bands)

    def observe(self, patch: Patch, name: str) -> Observation:
        source = self.product(name)
        sites = locate_patches(source.product, [patch])
        bands = source.open(needed_tiles(source.product, sites))
        pairs = cut_patches(source.product, bands, sites, name, lambda _, seen: seen, 2, Room(2**31))
        (seen,) = pairs
        return seen


def colours(
    bands: np.ndarray, numbers: tuple[int, ...] = TRUE_COLOUR, top: float | None = None
) -> np.ndarray:
    chosen = bands[[number - 1 for number in numbers]].transpose(1, 2, 0)
    return np.clip(chosen / (top or np.percentile(chosen[chosen > 0], 98)), 0, 1)


def edges(classes: np.ndarray) -> np.ndarray:
    drawn = np.zeros(classes.shape, bool)
    drawn[:, 1:] |= np.diff(classes.astype(int), axis=1) != 0
    drawn[1:] |= np.diff(classes.astype(int), axis=0) != 0
    return np.where(drawn, 1.0, np.nan)


def plain(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_registration(built: Built) -> Figure:
    """A patch with the edges of its label: the bounding box of its corners, resized; and the true warp."""
    name = _busiest(built)
    patch, product = parse_patch(name), built.rows.loc[name, "products"][0]
    folder = built.products[product]
    bands = []
    for band in ("B04", "B03", "B02"):
        with rasterio.open(next(folder.rglob(f"*_{band}_10m.jp2"))) as file:
            box = rasterio.warp.transform_bounds("EPSG:3035", file.crs, *patch.bounds, densify_pts=0)
            window = from_bounds(*box, file.transform)
            bands.append(file.read(1, window=window, out_shape=(250, 250), boundless=True))
    crop = np.stack(bands).astype(float)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.8))
    part = slice(60, 190)
    label = edges(built.label(name))[part, part]
    for axis, image, title in (
        (axes[0], crop[:, part, part], "bounding box in UTM, resized: shifted and turned"),
        (axes[1], built.image(name)[[3, 2, 1]][:, part, part], "one true warp: edges lie on the label's"),
    ):
        axis.imshow(colours(image, (1, 2, 3)))
        axis.imshow(label, cmap=ListedColormap(["#ff00ff"]), interpolation="nearest", alpha=0.7)
        plain(axis, title)
    return figure


def _busiest(built: Built) -> str:
    pixels = built.rows["label_pixels"].map(lambda counts: np.sort(counts)[-2])
    return str(pixels.idxmax())


def draw_radiometry() -> Figure:
    """Histogram of a genuine band at baseline 04.00, with the offset forgotten and with it taken."""
    radiometry = parse_radiometry((GENUINE / "MTD_MSIL2A.xml").read_bytes(), GENUINE.name)
    with rasterio.open(next(GENUINE.rglob("*_B01_60m.jp2"))) as band:
        dn = band.read(1).ravel()
    seen = dn[dn > 0].astype(float)
    figure, axis = plt.subplots(figsize=(9, 3.2))
    bins = np.linspace(-0.05, 0.6, 200)
    axis.hist(seen / radiometry.quantification, bins, color="#bbbbbb", label="DN / 10000: 0.1 too bright")
    reflectance = (seen + radiometry.offsets["B1"]) / radiometry.quantification
    axis.hist(reflectance, bins, color="#1f77b4", alpha=0.7, label="(DN + offset) / 10000")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xlabel("surface reflectance of B1, Ireland, 5 October 2022 (DN 0 = no observation left out)")
    axis.set_yticks([])
    axis.legend()
    return figure


def draw_swath() -> Figure:
    """The edge of a genuine swath on a patch: plain bilinear, and with weights of what was observed."""
    with rasterio.open(next(GENUINE.rglob("*_B01_60m.jp2"))) as band:
        dn, crs, transform = band.read(1), f"EPSG:{band.crs.to_epsg()}", band.transform
    grid = NativeGrid(crs, transform.c, transform.f, transform.a, dn.shape[1], dn.shape[0])
    row, col = 770, 1145
    x, y = transform * (col, row)
    east, north = rasterio.warp.transform(crs, "EPSG:3035", [x], [y])
    patch = Patch(0, int(east[0] // 2500 * 2500), int(north[0] // 2500 * 2500), 0)
    warp = Warp(*project_patch(patch.xmin, patch.ymin, crs), grid)
    window = warp.window
    native = dn[window.row : window.row + window.height, window.col : window.col + window.width]
    values, seen = warp.bilinear(native.astype("float32"), native > 0)
    naive, _ = warp.bilinear(native.astype("float32"), np.ones(native.shape, bool))
    figure, axes = plt.subplots(1, 3, figsize=(11, 4.2))
    options = {"cmap": "viridis", "vmin": 0, "vmax": float(np.percentile(native[native > 0], 99))}
    for axis, image, title in (
        (axes[0], native, "native pixels of 60 m (DN 0 = not observed)"),
        (axes[1], naive, "plain bilinear: a rim of false dark values"),
        (axes[2], np.where(seen, values, np.nan), "observed neighbours only, else nothing"),
    ):
        shown = np.where(image == 0, np.nan, image.astype(float))
        axis.set_facecolor("#ff00ff")
        axis.imshow(shown, interpolation="nearest", **options)
        plain(axis, title)
    return figure


def draw_coverage(built: Built) -> Figure:
    """Which product a patch was first cut from, and how many it took."""
    first = built.rows["products"].map(lambda names: names[0])
    count = built.rows["products"].map(len)
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.4))
    tiles = sorted(set(first))
    at = np.array([parse_patch(name).bounds[:2] for name in built.rows.index]) / 2500
    at -= at.min(axis=0)
    extent = at.max(axis=0).astype(int) + 1
    for axis, values, palette, title in (
        (axes[0], first.map(tiles.index), "tab20", "first product of each patch"),
        (axes[1], count, "YlOrRd", "products a patch was composed of"),
    ):
        field = np.full(extent[::-1], np.nan)
        field[at[:, 1].astype(int), at[:, 0].astype(int)] = values
        shown = axis.imshow(field, origin="lower", cmap=palette, interpolation="nearest")
        plain(axis, title)
    figure.colorbar(shown, ax=axes[1], shrink=0.7)
    for number, name in enumerate(tiles):
        colour = mpl.colormaps["tab20"](number / max(len(tiles) - 1, 1))
        axes[0].plot([], [], "s", color=colour, label=f"{name[38:44]} {name[11:19]}")
    axes[0].legend(fontsize=6, loc="lower left", bbox_to_anchor=(-0.35, 0))
    return figure


def draw_composite(built: Built) -> Figure:
    """The observations of the patch that took most of them, and what they give together."""
    name = str(built.rows["products"].map(len).idxmax())
    patch = parse_patch(name)
    seen = [built.observe(patch, product) for product in built.rows.loc[name, "products"]][:4]
    best, median = compose_best(seen), compose_median(seen)
    clear = np.concatenate([one.reflectance[3][one.clarity == CLEAR] for one in seen])
    top = float(np.percentile(clear, 99.5)) * 1.3
    panels = [(one.reflectance, one.clarity, f"{n}. {100 * (one.clarity == CLEAR).mean():.0f} % clear")
              for n, one in enumerate(seen, 1)]  # fmt: skip
    panels += [(best.bands, best.clarity, f"best: {100 * best.clear_fraction:.0f} % clear"),
               (median.bands, median.clarity, "median")]  # fmt: skip
    figure, axes = plt.subplots(2, len(panels), figsize=(2.5 * len(panels), 5.4))
    for (bands, clarity, title), column in zip(panels, axes.T, strict=True):
        column[0].imshow(colours(bands, top=top))
        plain(column[0], title)
        column[1].imshow(
            clarity, cmap=ListedColormap(["black", "#d95f02", "#1b9e77"]), vmin=UNSEEN, vmax=CLEAR
        )
        plain(column[1], "green: clear, orange: not")
    return figure


def draw_seam(built: Built, west: int, south: int, cols: int, rows: int) -> Figure:
    """Patches side by side across a border of products, in true colour."""
    mosaic = np.zeros((14, 250 * rows, 250 * cols))
    names = np.full((rows, cols), "", dtype=object)
    for name in built.rows.index:
        patch = parse_patch(name)
        col, row = (patch.xmin - west) // 2500, rows - 1 - (patch.ymin - south) // 2500
        if 0 <= col < cols and 0 <= row < rows:
            mosaic[:, 250 * row : 250 * row + 250, 250 * col : 250 * col + 250] = built.image(name)
            names[row, col] = built.rows.loc[name, "products"][0][38:44]
    figure, axis = plt.subplots(figsize=(8, 8 * rows / cols + 0.4))
    axis.imshow(colours(mosaic))
    for row in range(rows):
        for col in range(cols):
            axis.text(250 * col + 10, 250 * row + 40, names[row, col], color="white", fontsize=8)
            if col and names[row, col] != names[row, col - 1]:
                axis.plot([250 * col] * 2, [250 * row, 250 * row + 12], color="magenta", linewidth=2)
    plain(axis, "each patch by itself, side by side; in white the tile it was first cut from")
    return figure


def draw_alignment(built: Built) -> Figure:
    """How well the edges of images and labels agree at each shift, over all patches of a region."""
    agreements = [compare_edges(built.image(name), built.label(name)) for name in built.rows.index]
    score = np.sum([agreement.score for agreement in agreements if agreement], axis=0)
    figure, axis = plt.subplots(figsize=(4.6, 4))
    reach = (-MAX_SHIFT - 0.5, MAX_SHIFT + 0.5)
    shown = axis.imshow(score / score.max(), extent=(*reach, *reach[::-1]), cmap="magma")
    axis.set_xlabel("shift of the image, columns (10 m)")
    axis.set_ylabel("rows")
    figure.colorbar(shown, label="covariance of edges, relative")
    return figure


def draw_all(state: Path) -> Iterator[tuple[str, Figure]]:
    paris, luxembourg = Built(state, "FR101"), Built(state, "LU000")
    yield "registration", draw_registration(paris)
    yield "radiometry", draw_radiometry()
    yield "swath", draw_swath()
    yield "coverage", draw_coverage(luxembourg)
    yield "composite", draw_composite(luxembourg)
    yield "seam", draw_seam(luxembourg, 4_030_000, 2_940_000, 4, 2)
    yield "alignment", draw_alignment(paris)


def main() -> None:
    state, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in draw_all(state):
        figure.tight_layout()
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=80, metadata={"Software": None})
        (folder / f"{name}.png").write_bytes(buffer.getvalue())
        print(folder / f"{name}.png", len(buffer.getvalue()))


if __name__ == "__main__":
    main()
