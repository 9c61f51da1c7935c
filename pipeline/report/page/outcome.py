"""The files of a run's page, and the outcome of writing them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipeline.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class PageOutcome:
    """The outcome of writing a run's page, which never makes a run fail.

    Attributes:
      path: The page; None if it was not written.
      problems: Why the page, or a section of it, was not made: one sentence each.
    """

    path: Path | None
    problems: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Where the page is, and what it lacks."""
        if self.path is None:
            return f"not written: {'; '.join(self.problems)}"
        return f"{self.path}" + (f" (incomplete: {'; '.join(self.problems)})" if self.problems else "")


def page_path(workspace: Workspace, run_id: str) -> Path:
    """Returns the file of a run's page."""
    return workspace.reports / f"{run_id}.html"


def card_name(run_id: str) -> str:
    """Returns the name of the file of a run's model card, beside the page."""
    return f"{run_id}.model_card.md"


def card_path(workspace: Workspace, run_id: str) -> Path:
    """Returns the file of a run's model card."""
    return workspace.reports / card_name(run_id)
