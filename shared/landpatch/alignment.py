"""Do an image and its label lie on each other? The shift at which their edges agree best."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landpatch.radiometry import BANDS

EDGE_BANDS = ("B2", "B3", "B4", "B8")
"""The bands with 10 m pixels; the others cannot show a shift of a pixel."""
MAX_SHIFT = 4
MIN_EDGES = 400
"""Fewer edges in a label than this say nothing."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well the edges of an image and of its label agree at each shift."""

    score: NDArray[np.float64]
    """(row shift, column shift), each from -MAX_SHIFT to MAX_SHIFT; covariance of the edges."""

    @property
    def best_shift(self) -> tuple[int, int]:
        """Rows and columns by which the image would have to be moved to agree best; (0, 0) is right."""
        row, col = np.unravel_index(int(np.argmax(self.score)), self.score.shape)
        return int(row) - MAX_SHIFT, int(col) - MAX_SHIFT


def compare_edges(bands: NDArray[np.float64], classes: NDArray[np.uint8]) -> Agreement | None:
    """Compare the edges of an image, (14, y, x), with those of its label, (y, x).

    An edge is the difference between a pixel and its right and its lower neighbour, so the edges of both
    lie at the same half pixels. None where the label has too few edges to tell.
    """
    score = np.zeros((2 * MAX_SHIFT + 1, 2 * MAX_SHIFT + 1))
    edges = 0
    for axis in (0, 1):
        label = (np.diff(classes.astype("int16"), axis=axis) != 0).astype("float64")
        edges += int(label.sum())
        image = np.zeros(label.shape)
        for name in EDGE_BANDS:
            step = np.abs(np.diff(bands[BANDS.index(name)], axis=axis))
            image += step / max(float(step.mean()), 1e-12)
        score += _covariance(image, label)
    return Agreement(score) if edges >= MIN_EDGES else None


def _covariance(image: NDArray[np.float64], label: NDArray[np.float64]) -> NDArray[np.float64]:
    m = MAX_SHIFT
    inner = label[m:-m, m:-m]
    inner = inner - inner.mean()
    rows, cols = inner.shape
    score = np.empty((2 * m + 1, 2 * m + 1))
    for row in range(2 * m + 1):
        for col in range(2 * m + 1):
            # Moved by (row - m, col - m), this part of the image comes to lie on the label's inner part.
            part = image[2 * m - row : 2 * m - row + rows, 2 * m - col : 2 * m - col + cols]
            score[row, col] = float((part * inner).mean())
    return score
