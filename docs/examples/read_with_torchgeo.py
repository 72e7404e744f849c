"""Read a region with TorchGeo's own RasterDataset, images and labels as one dataset.

    pip install landpatch torchgeo
    python read_with_torchgeo.py .state/store/landpatch/data FR101/2021 labels

Images are read as they lie. A label is a plain array, `.npy`, and no raster that GDAL reads; so labels are
written as GeoTIFF once, into the folder that is named last, each under the name of its image.

Last run with TorchGeo 0.8.1 and PyTorch 2.13.0 for the CPU, on a region of four patches of which three have
labels: its pixels and its CRS were those of `landpatch.open`. torchvision 0.28.0 was of another build than
PyTorch, so the operators of torchvision, which reading does not use, had to be declared by hand before
TorchGeo could be imported. Take torchvision of PyTorch's own build.
"""

import sys
from pathlib import Path

import rasterio
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler

import landpatch
from landpatch.dataset import Dataset
from landpatch.radiometry import BANDS


class Images(RasterDataset):
    """The images of landpatch, or of the public training set."""

    filename_glob = "*_*_*_*.tif"
    all_bands = BANDS
    rgb_bands = ("B4", "B3", "B2")


class Labels(RasterDataset):
    """The labels, written as GeoTIFF."""

    filename_glob = "*_*_*_*.tif"
    is_image = False


def write_labels(dataset: Dataset, folder: Path) -> None:
    """Write every label as GeoTIFF, (250, 250) uint8, 0 = no label."""
    folder.mkdir(parents=True, exist_ok=True)
    for pair in dataset.select(labelled=True):
        with rasterio.open(
            folder / f"{pair.patch}.tif", "w", driver="GTiff", width=250, height=250, count=1, dtype="uint8",
            crs=pair.crs, transform=pair.transform, nodata=0, compress="deflate",
        ) as raster:  # fmt: skip
            raster.write(pair.label, 1)


def main(root: str, region: str, folder: str) -> None:
    """Go over a region in windows of 250 x 250 pixels, and say what they hold."""
    dataset = landpatch.open(root, region)
    write_labels(dataset, Path(folder))
    both = Images(f"{root}/images/{region}") & Labels(folder)
    loader = DataLoader(
        both, sampler=GridGeoSampler(both, size=250, stride=250), batch_size=4, collate_fn=stack_samples
    )
    for batch in loader:
        image, mask = batch["image"], batch["mask"]
        print(f"image {tuple(image.shape)} {image.dtype}, mask {tuple(mask.shape)} {mask.dtype}")


if __name__ == "__main__":
    main(*sys.argv[1:])
