"""Reading a training set, wherever it lies: `landpatch.open(…)`."""

from landpatch.dataset.dataset import Dataset, open_dataset
from landpatch.dataset.entries import Entry
from landpatch.dataset.pairs import Pair

__all__ = ["Dataset", "Entry", "Pair", "open_dataset"]
