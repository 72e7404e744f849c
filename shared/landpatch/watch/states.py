"""The states of a region's patches as a text, a digit a patch, and what has changed in it. Pure."""

from collections.abc import Iterable, Mapping

import numpy as np

from landpatch.records import Outcome

STATES = ("queued", "cutting", "complete", "partial", "missing", "failed", "unknown")
"""By digit. `unknown`: of a run that is over, and of which the store has no index."""
DIGITS: Mapping[str, int] = {state: ord(str(digit)) for digit, state in enumerate(STATES)}
_COST_OF_ONE = 6
"""Characters that tell of one patch, where telling all of them takes one each."""
Change = dict[str, str | dict[str, list[int]]]


def mark_states(
    names: Mapping[str, int], outcomes: Mapping[str, Outcome], cutting: Iterable[int], rest: str
) -> bytes:
    """A digit a patch.

    names: place of each patch. outcomes: what has become of patches, by name; of others nothing is told.
    cutting: places of those in hand. rest: the state of all others.
    """
    digits = np.full(len(names), DIGITS[rest], dtype="uint8")
    digits[np.fromiter(cutting, dtype="int64")] = DIGITS["cutting"]
    for name, outcome in outcomes.items():
        if (place := names.get(name)) is not None:
            digits[place] = DIGITS.get(outcome.state, DIGITS["unknown"])
    return digits.tobytes()


def describe_change(before: bytes | None, after: bytes) -> Change | None:
    """What turns one text into the other: `{"all": text}`, or `{"some": {digit: places}}` where that is
    shorter. None when they are the same.

    before: None where nothing is known yet.
    """
    if before == after:
        return None
    if before is None or len(before) != len(after):
        return {"all": after.decode()}
    old, new = np.frombuffer(before, "uint8"), np.frombuffer(after, "uint8")
    places = np.flatnonzero(old != new)
    if _COST_OF_ONE * len(places) > len(after):
        return {"all": after.decode()}
    return {"some": {chr(digit): places[new[places] == digit].tolist() for digit in np.unique(new[places])}}


def count_states(text: bytes) -> dict[str, int]:
    """Patches by state; without the states that none has."""
    return {state: count for state in STATES if (count := text.count(DIGITS[state]))}
