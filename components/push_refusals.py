"""Why a push itself refuses a model that the gates have let through."""

from __future__ import annotations

from components.versions import SPANS, Manifest, newest_span


class StaleBaselineError(ValueError):
    """Another model serves by now than the one that the candidate was held against."""


class OlderModelError(ValueError):
    """A model that knows later days serves."""


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
