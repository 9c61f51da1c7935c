"""Writes the views of an ended run: its page, and metrics for monitoring."""

from __future__ import annotations

from collections.abc import Callable

from absl import logging

from components.fence import LostClaimError
from components.model_store.versions import newest_span
from pipeline.errors import first_line
from pipeline.report.exports.prometheus import write_run_metrics
from pipeline.report.page.outcome import PageOutcome, card_path, page_path
from pipeline.report.result.run import Run
from pipeline.workspace import Workspace


def write_views(workspace: Workspace, run: Run) -> PageOutcome:
    """Writes a run's page and metrics; returns the outcome of writing the page.

    A run of a past span, repeated while the model of a later span serves, does not overwrite the metrics.
    """
    page = write_pages(workspace, run.run_id, lambda: run)
    served = newest_span(run.manifests)
    if served is None or run.report.span >= served:
        write_run_metrics(workspace, run, num_page_problems=len(page.problems))
    return page


def write_pages(workspace: Workspace, run_id: str, read: Callable[[], Run]) -> PageOutcome:
    """Writes the page of a run, its model card, and the index of all runs.

    The run has ended, and its model may serve: whatever prevents a page is logged and returned, not raised. The
    summary says it, and the metric `wdr_report_page_problems` counts it.
    """
    try:
        from pipeline.report.page.write import write_page  # here: the packages of the charts may fail to import

        return write_page(workspace, read())
    except LostClaimError:  # another process writes this run's report
        raise
    except Exception as error:
        logging.exception("the page of the run %s was not written", run_id)
        return PageOutcome(None, (first_line(error),))


def remove_pages(workspace: Workspace, run_id: str) -> None:
    """Removes the page and the model card of a run whose report is removed, and writes the index without the run.

    What prevents the index is logged: the node whose report is removed has ended well.
    """
    for page in (page_path, card_path):
        page(workspace, run_id).unlink(missing_ok=True)
    try:
        from pipeline.report.page.index import write_index  # here: the packages of the charts may fail to import
        from pipeline.report.page.write import ASSETS

        write_index(workspace, workspace.reports / ASSETS)
    except LostClaimError:  # another process writes this run's report
        raise
    except Exception:
        logging.exception("the index of all runs was not written after the page of the run %s was removed", run_id)
