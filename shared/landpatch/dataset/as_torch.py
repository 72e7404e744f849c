"""A training set as a PyTorch Dataset. Imported only where PyTorch is wanted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from landpatch.dataset.dataset import Dataset
from landpatch.errors import PermanentError

Sample = dict[str, Any]
Transform = Callable[[Sample], Sample]


class TorchPairs(TorchDataset):  # type: ignore[misc]  # types are checked without PyTorch
    """Samples by number, for a DataLoader with any number of workers, forked or spawned.

    A sample has `image`, (band, 250, 250) float32; `mask`, (250, 250) int64, 0 = no label, unless labels are
    not wanted; and `patch`, the name. The names are those of TorchGeo.
    """

    def __init__(self, pairs: Dataset, bands: list[int], labels: bool, transform: Transform | None) -> None:
        """bands: their numbers, from 0. transform: what becomes of a sample before it is returned."""
        self.pairs = pairs
        self._bands = bands
        self._labels = labels
        self._transform = transform

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> Sample:
        patch = self.pairs.entries[number].patch
        image = self.pairs.image(number)[self._bands].astype(np.float32)
        sample = {"patch": patch, "image": torch.from_numpy(image)}
        if self._labels:
            label = self.pairs.label(number)
            if label is None:
                raise PermanentError(
                    f"{patch} has no label: take select(labelled=True), or to_torch(labels=False)"
                )
            sample["mask"] = torch.from_numpy(label.astype(np.int64))
        return self._transform(sample) if self._transform else sample
