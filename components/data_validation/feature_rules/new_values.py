"""Values that no reference span has: of a market that opens, or of another column."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from components.data_validation.distributions import NUM_TOP_VALUES, Distribution
from components.data_validation.findings import finding
from components.gate_records import Finding
from transform.config.drift import Drift

#: Of two columns whose values are swapped, each has at least so many of the other's values, in this share of examples.
_MIN_SWAPPED, _MIN_SHARE = 2, 0.01


def new_values(
    current: Distribution, reference: Sequence[Distribution], *, growth: float = math.inf
) -> dict[str, float]:
    """Returns values that no reference span has, with their shares of the values that are not missing.

    Only of a feature all of whose values are known by name, in each span. With `growth`, values whose share is at least
    so many times that in each reference span count as new, too.
    """
    if any(d.is_numeric or d.num_distinct > NUM_TOP_VALUES for d in (current, *reference)):
        return {}
    now, *before = [
        {value: number / max(d.num_values - d.num_missing, 1) for value, number in d.top.items()}
        for d in (current, *reference)
    ]
    return {value: share for value, share in now.items() if all(of.get(value, 0.0) <= share / growth for of in before)}


def without(current: Distribution, values: Mapping[str, float]) -> Distribution:
    """Returns a distribution without some of its values."""
    top = {value: number for value, number in current.top.items() if value not in values}
    removed = sum(current.top.values()) - sum(top.values())
    return dataclasses.replace(
        current, num_values=current.num_values - removed, num_distinct=len(top), top=top, num_draws=current.num_draws
    )


def swapped_findings(
    now: Mapping[str, Distribution], before: Sequence[Mapping[str, Distribution]], settings: Drift
) -> Iterator[Finding]:
    """Finds pairs of features each of which has values that only the other had before."""
    reference = {name: [d[name] for d in before if name in d] for name in sorted(now)}
    new = {name: new_values(now[name], of) for name, of in reference.items() if of}
    known = {name: set[str]().union(*(d.top for d in of)) for name, of in reference.items()}
    for one in new:
        for other in (name for name in new if name > one):
            taken = [{v: s for v, s in new[a].items() if v in known[b]} for a, b in ((one, other), (other, one))]
            shares = [sum(values.values()) for values in taken]
            if min(map(len, taken)) >= _MIN_SWAPPED and min(shares) >= _MIN_SHARE:
                yield finding(
                    "divergence_floor",
                    settings.action,
                    f"{one} and {other}",
                    f"{shares[0]:.1%} of the values of {one} are ones that only {other} had before "
                    f"({', '.join(list(taken[0])[:3])}), and {shares[1]:.1%} of those of {other} ones that only {one} "
                    f"had ({', '.join(list(taken[1])[:3])}): in some rows the two may be swapped",
                    value=max(shares),
                    bound=_MIN_SHARE,
                )
