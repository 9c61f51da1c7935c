"""Reasons for which the push itself refuses a model that the gates accepted."""

from __future__ import annotations

from collections.abc import Mapping

from components.model_store.manifest import Manifest
from components.model_store.versions import newest_span

#: Scores whose relative difference is at most this count as equal.
SAME_SCORES = 1e-5


class StaleBaselineError(ValueError):
    """The model that serves is not the baseline that the candidate model was compared with."""


class OlderModelError(ValueError):
    """The model was trained only on older spans than the model that serves."""


class UnchangedModelError(ValueError):
    """The model's scores equal those of the model that serves."""


class ChangedModelError(ValueError):
    """The model's files are not those that infra validation has run."""


def older_than_serving(serving_root: str, manifests: Mapping[int, Manifest], candidate: Manifest) -> str:
    """Returns why a model is older than the one that serves, as after the run of a past day; empty if it is not.

    Args:
      serving_root: The serving folder.
      manifests: The manifests of its versions, oldest first, as returned by `history`.
      candidate: The model's manifest.
    """
    serves, newest = newest_span(manifests), candidate.newest_span
    if serves is None or newest is None or newest >= serves:
        return ""
    return (
        f"a pushed model's newest span must be that of the model that serves, {serves}, or a later one. Received: "
        f"{newest} ({serving_root}). `wdr run --force-push --reason TEXT` pushes it anyway"
    )


def same_as_serving(largest_change: float | None) -> str:
    """Returns why a model counts as unchanged: its scores equal those of the model that serves; empty if it does not.

    Args:
      largest_change: The largest relative difference of a score, measured by infra validation; None if no model serves.
    """
    if largest_change is None or largest_change > SAME_SCORES:
        return ""
    return (
        f"a new version's scores must differ from the serving model's by more than {SAME_SCORES:g} of their value. "
        f"Received: {largest_change:.1e} at most. `push.unchanged: true`, or `wdr run --force-push --reason TEXT`, "
        "pushes it anyway"
    )
