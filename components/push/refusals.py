"""Why a push itself refuses a model that the gates have let through."""

from __future__ import annotations

from components.model_store.versions import SPANS, Manifest, newest_span

#: Scores that differ by no more than this part of their value are the same.
SAME_SCORES = 1e-5


class StaleBaselineError(ValueError):
    """Another model serves by now than the one that the candidate was held against."""


class OlderModelError(ValueError):
    """A model that knows later days serves."""


class UnchangedModelError(ValueError):
    """The model's scores are those of the model that serves."""


class ChangedModelError(ValueError):
    """The model's files are no longer those that infra validation has run."""


def older_than_serving(serving_root: str, lineage: Manifest) -> str:
    """Why a model would take what serves back in time, as the run of a past day would; empty if it would not."""
    serves, newest = newest_span(serving_root), max(lineage.get(SPANS, []), default=None)
    if serves is None or newest is None or newest >= serves:
        return ""
    return (
        f"a pushed model's newest span must be that of the model that serves, {serves}, or a later one. Received: "
        f"{newest} ({serving_root}). `wdr run --force-push --reason TEXT` pushes it all the same"
    )


def same_as_serving(largest_change: float | None) -> str:
    """Why a model is no news: its scores are those of the model that serves; empty if they are not, or none serves.

    Args:
      largest_change: The largest relative difference of a score, as infra validation has measured it.
    """
    if largest_change is None or largest_change > SAME_SCORES:
        return ""
    return (
        f"a new version's scores must differ from the serving model's by more than {SAME_SCORES:g} of their value. "
        f"Received: {largest_change:.1e} at most. `push.unchanged: true`, or `wdr run --force-push --reason TEXT`, "
        "pushes it all the same"
    )
