"""The two truths of what a place does: an examination times the relevance, or an addend of the logit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.simulator.sampling import Floats, Ints

#: How strongly a place acts: the probability of an examination, or the odds of an install, are p ** -_STRENGTH times
#: those of the first place.
_STRENGTH = 0.7


def relevance(logit: Floats) -> Floats:
    """Returns P(install | the item is at place 1), by its logit, of any shape."""
    result: Floats = 1 / (1 + np.exp(-logit))
    return result


def examined(logit: Floats, place: Ints) -> Floats:
    """Returns P(install): the place's probability of being examined, p ** -0.7, times the relevance.

    Args:
      logit: Any shape; the item's logit at place 1.
      place: The same shape, from 1.
    """
    result: Floats = place.astype(np.float64) ** -_STRENGTH * relevance(logit)
    return result


def additive(logit: Floats, place: Ints) -> Floats:
    """Returns P(install): the place adds -0.7 * ln(p) to the logit. Arguments are those of `examined`."""
    return relevance(logit - _STRENGTH * np.log(place))


#: By name, the probability of an install by the item's logit and its place.
TRUTHS: dict[str, Callable[[Floats, Ints], Floats]] = {"additive": additive, "examination": examined}
