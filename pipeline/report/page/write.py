"""Writes the page of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import tensorflow as tf
from absl import logging
from google.protobuf.message import DecodeError

from components import storage
from components.fence import LostClaimError
from pipeline.errors import first_line
from pipeline.report.page.index import write_index
from pipeline.report.page.model_card import model_card
from pipeline.report.page.outcome import PageOutcome, card_name, card_path, page_path
from pipeline.report.page.parts import Block, Fold, Note, Section
from pipeline.report.page.render import collect_figures, render_page
from pipeline.report.page.sections import (
    changes,
    costs,
    curves,
    features,
    flow,
    gates,
    importance,
    lineage,
    quality,
    training,
    verdict,
    vocabularies,
)
from pipeline.report.result.run import Run
from pipeline.workspace import Workspace
from transform.errors import UserError

#: The folder, in that of the reports, with the charts' script.
ASSETS = ".assets"

#: The sections in the page's order: the anchor, the title, and what yields the contents.
SECTIONS: Sequence[tuple[str, str, Callable[[Run], Iterable[Block]]]] = (
    ("changes", "What changed since the last run", changes.blocks),
    ("quality", "Quality", quality.blocks),
    ("importance", "Importance by feature", importance.blocks),
    ("scores", "Scores", curves.blocks),
    ("gates", "Verdicts of the gates", gates.blocks),
    ("features", "Features and drift", features.blocks),
    ("data", "The way of the data", flow.blocks),
    ("training", "Training", training.blocks),
    ("vocabularies", "Vocabularies and warm start", vocabularies.blocks),
    ("cost", "Latency and cost", costs.blocks),
    ("times", "Times of the components", lineage.times),
    ("lineage", "Lineage", lineage.blocks),
)

#: Of these sections, tables and charts are shown on request.
FOLDED = ("data", "training", "vocabularies", "cost", "times", "lineage")

#: Of these, on a narrow screen, they are shown at once.
OPEN = ("changes",)

#: What reading a removed or damaged artifact raises; its section says so, and the others are shown.
_UNREADABLE = (OSError, UserError, ValueError, KeyError, DecodeError, tf.errors.OpError)


#: What a page has in place of the link to the run after it, as long as there is none.
_NO_LATER_RUN = '<span id="later"></span>'


def write_page(workspace: Workspace, run: Run) -> PageOutcome:
    """Writes the page of a run and its model card, which replace earlier ones, and the index of all runs.

    Returns:
      The page's file, and a problem for each section whose input could not be read, and for the index.
    """
    path = page_path(workspace, run.run_id)
    sections, problems = render_sections(run)
    storage.write_text(str(path), render_run_page(run, sections, workspace.reports / ASSETS))
    storage.write_text(str(card_path(workspace, run.run_id)), model_card(run))
    if run.near.before is not None:
        _link_to(run, page_path(workspace, run.near.before.run_id))
    try:
        write_index(workspace, workspace.reports / ASSETS)
    except LostClaimError:  # another process writes this run's report
        raise
    except _UNREADABLE as error:  # such as a damaged version of another model
        logging.exception("the index of all runs was not written after the run %s", run.run_id)
        problems = (*problems, f"Index of all runs: {first_line(error)}")
    return PageOutcome(path, problems)


def _link_to(run: Run, page: Path) -> None:
    """Adds the link to a run to the page of the run before it, which was written when there was none after it."""
    if page.exists():
        text = page.read_text(encoding="utf-8")
        storage.write_text(str(page), text.replace(_NO_LATER_RUN, _link(run.run_id, run.report.span, "after"), 1))


def _link(run_id: str, span: int, words: str) -> str:
    """Returns a link as HTML; a quoted name has no character of HTML."""
    return f'<a href="{quote(run_id)}.html">The run {words}, of span {span}</a>'


def render_run_page(run: Run, sections: Sequence[Section], cache: Path) -> str:
    """Returns a run's page as HTML; `cache` is as in `render_page`."""
    around = ((run.near.before, "before"), (run.near.after, "after"))
    links = [_link(near.run_id, near.report.span, words) for near, words in around if near and near.has_page]
    if run.near.after is None:
        links.append(_NO_LATER_RUN)
    links.append(f'<a href="{quote(card_name(run.run_id))}">The model card</a>')
    values = {"run": run, "head": verdict.head(run), "sections": sections, "links": links}
    return render_page("run.html", cache, values, collect_figures(sections))


def render_sections(run: Run) -> tuple[list[Section], tuple[str, ...]]:
    """Returns the sections of a run's page, and why some of them could not be made.

    A section whose input cannot be read consists of the sentence that says so.
    """
    sections, problems = [], []
    for anchor, title, make in SECTIONS:
        try:
            blocks = list(make(run))
        except _UNREADABLE as error:
            logging.exception("the section %r of the page of the run %s was not made", title, run.run_id)
            problems.append(f"{title}: {first_line(error)}")
            blocks = [Note(f"This section could not be made: {first_line(error)}", "bad")]
        if anchor in FOLDED:
            blocks = Fold.of(f"Tables and charts: {title}", blocks)
        sections.append(Section(anchor, title, blocks, is_open=anchor in OPEN))
    return sections, tuple(problems)
