"""Where labels come from: what every source has in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from landpatch.patch import Patch

CLCPLUS = "clcplus"
"""Names CLC+ Backbone where a source of labels is named."""


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """The largest window that a source gives at once, pixels."""

    width: int
    height: int


class LabelWindow(Protocol):
    """Labels of patches that were asked for together."""

    @property
    def requests(self) -> int:
        """What it has taken so far."""

    def cut(self, patch: Patch) -> NDArray[np.uint8]:
        """The classes of one of the patches, (250, 250), 0 to 11, row 0 in the north.

        Raises PermanentError that names the patch when it has no label, TransientError.
        """


class LabelSource(Protocol):
    """A service or a raster that labels come from."""

    @property
    def recipe(self) -> str:
        """What a label depends on besides its patch and edition; two of one recipe can replace each other."""

    @property
    def names(self) -> Mapping[int, str]:
        """Names of the classes, where they are not those of CLC+ Backbone."""

    @property
    def usual_limits(self) -> WindowLimits:
        """How large a window may be, as far as that is known without asking."""

    @property
    def editions(self) -> tuple[int, ...] | None:
        """The years that there are labels of; None where any may be asked for."""

    def check(self, edition: int) -> None:
        """Raise RequestError when there is no such edition, ConfigurationError when the source cannot be
        used, TransientError when it does not answer."""

    def limits(self, edition: int) -> WindowLimits:
        """How large a window may be; errors as of `check`."""

    def fetch(self, edition: int, patches: Sequence[Patch]) -> LabelWindow:
        """The labels of patches that lie near each other.

        Raises TooLargeError for a window larger than the source gives, OverloadedError when it fails over
        this one, TransientError, PermanentError.
        """
