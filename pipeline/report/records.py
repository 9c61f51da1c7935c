"""The runs on record: the reports of a workspace, in the order in which they were written."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator
from pathlib import Path

from absl import logging

from pipeline.report.run_report import RunReport, read_report
from transform.errors import InputError

#: The run before and the run after are looked for among this many reports on either side.
_MAX_NEAR = 60


@dataclasses.dataclass(frozen=True)
class Record:
    """A run on record.

    Attributes:
      run_id: Its name.
      ended: When its report was written.
      report: Its report.
      has_page: Whether it has a page.
    """

    run_id: str
    ended: datetime.datetime
    report: RunReport
    has_page: bool

    @property
    def label(self) -> str:
        """Its place on an axis: the span."""
        return f"{self.report.span}"


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The runs of a pipeline around one of its runs; None if there is none on record.

    Attributes:
      before: The last run before it.
      trained: The last run before it that trained a model, which it is compared with.
      after: The first run after it.
    """

    before: Record | None = None
    trained: Record | None = None
    after: Record | None = None


def report_files(reports: Path) -> list[Path]:
    """Returns the files of all reports, the oldest first."""
    return sorted(reports.glob("*.json"), key=lambda file: (file.stat().st_mtime, file.name))


def read_record(file: Path) -> Record:
    """Reads a run on record; raises InputError if its report cannot be read."""
    ended = datetime.datetime.fromtimestamp(file.stat().st_mtime, datetime.UTC)
    return Record(file.stem, ended, read_report(file), file.with_suffix(".html").exists())


def read_neighbours(reports: Path, run_id: str, pipeline: str) -> Neighbours:
    """Finds the runs around a run, among those of its pipeline.

    Args:
      reports: The folder of the reports.
      run_id: The run, whose own report is among them.
      pipeline: Its pipeline. A report of an earlier release, which names none, is not of it.
    """
    files = report_files(reports)
    place = next((i for i, file in enumerate(files) if file.stem == run_id), len(files))
    before = list(_of_pipeline(reversed(files[max(place - _MAX_NEAR, 0) : place]), pipeline))
    after = _of_pipeline(files[place + 1 : place + 1 + _MAX_NEAR], pipeline)
    trained = (record for record in before if record.report.training is not None)
    return Neighbours(next(iter(before), None), next(trained, None), next(after, None))


def _of_pipeline(files: Iterable[Path], pipeline: str) -> Iterator[Record]:
    for file in files:
        try:
            record = read_record(file)
        except InputError as error:
            logging.warning("a run's report is passed over: %s", error)
            continue
        if record.report.pipeline == pipeline:
            yield record
