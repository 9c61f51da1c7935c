"""The record of a run: the report of its end, or of the gate or error that stopped it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from absl import logging
from filelock import FileLock
from ml_metadata.proto import metadata_store_pb2

from components import storage
from components.fence import LostClaimError
from pipeline.errors import first_line, sentence
from pipeline.outages import outage
from pipeline.report.exports.trackers import track
from pipeline.report.page.outcome import PageOutcome
from pipeline.report.result.read import read_run
from pipeline.report.result.run import Run
from pipeline.report.result.run_result import read_run_result
from pipeline.report.run_report import NOT_SENT, RunReport, RunResult, read_report
from pipeline.report.write import remove_pages, write_pages, write_views
from pipeline.workspace import Workspace
from transform.errors import GateError, InputError, UserError


@dataclasses.dataclass(frozen=True)
class RunRecorder:
    """Writes the report of one run.

    Attributes:
      workspace: The run's workspace.
      connection: The connection to ML Metadata.
      pipeline_name: The run's pipeline.
      run_id: The run's name.
      span: The run's span.
      data_root: The folder of the data; empty if it is not known.
      config_file: The config's file; empty if it is not known.
    """

    workspace: Workspace
    connection: metadata_store_pb2.ConnectionConfig
    pipeline_name: str
    run_id: str
    span: int
    data_root: str = ""
    config_file: str = ""

    @contextlib.contextmanager
    def recording_errors(self, node: Callable[[], str], executions: Callable[[], Mapping[str, int]]) -> Iterator[None]:
        """Runs nodes; if a gate stops the run, or a node fails, writes the report of it, and raises the error again.

        Args:
          node: Returns the node that runs.
          executions: Returns, by node, its execution so far.
        """
        try:
            yield
        except LostClaimError:  # another process runs this run's nodes, and writes its report
            raise
        except GateError as error:
            with self._logging_errors():
                _, untracked = self.record(
                    executions(), RunReport.skipped(self.span, node(), _writable(sentence(error)))
                )
                for tracker, why in untracked.items():
                    error.add_note(f"{tracker} did not get the run: {why}")
            raise
        except Exception as error:
            with self._logging_errors():
                self._record_failure(node(), executions(), error)
            raise

    def node_ended(self, node: str) -> None:
        """Removes the report of a gate or error of a node that has now ended well, as of an accepted span's gate."""
        with self._logging_errors(), self._locked():
            if self._file.exists():
                report = read_report(self._file)
                if node in (report.skipped_by, report.failed_node):
                    self._file.unlink()
                    remove_pages(self.workspace, self.run_id)

    def ended(self, executions: Mapping[str, int]) -> tuple[RunResult, Path]:
        """Writes the report of a run whose last node is done; returns the run's result and the report's path.

        The result's places have the page, or why it was not written, and why a tracker did not get the run.
        """
        found = read_run_result(self.connection, executions)
        run_result = dataclasses.replace(found, span=self.span, **self._origin)
        page, untracked = self.record(executions, run_result)
        not_sent = {tracker: f"{NOT_SENT}{why}" for tracker, why in untracked.items()}
        places = {**run_result.places, "report": page.words, **not_sent}
        return dataclasses.replace(run_result, places=places), self._file

    def record(self, executions: Mapping[str, int], report: RunReport) -> tuple[PageOutcome, Mapping[str, str]]:
        """Writes the report of a run, and all that is made from its result.

        Returns:
          The outcome of writing its page; and, by tracker that did not get the run, why not.
        """
        report = dataclasses.replace(report, **self._origin)
        with self._locked():
            storage.write_text(str(self._file), report.to_json())
            run = self._read(executions, report)
            page = write_views(self.workspace, run)
        return page, track(self.workspace, run)  # without the reports' lock, for which other nodes of the run may wait

    def _record_failure(self, node: str, executions: Mapping[str, int], error: Exception) -> None:
        """Writes the report of a run that failed; its metrics and lineage wait for the run's end, after a retry.

        It does not replace the report that another node of the run has written of the run's end.
        """
        why = sentence(error) if isinstance(error, UserError) else outage(error, self.workspace) or first_line(error)
        report = dataclasses.replace(RunReport.failed(self.span, node, _writable(why)), **self._origin)
        with self._locked():
            if not self._file.exists() or read_report(self._file).status == "failed":
                storage.write_text(str(self._file), report.to_json())
                write_pages(self.workspace, self.run_id, lambda: self._read(executions, report))

    def _read(self, executions: Mapping[str, int], report: RunReport) -> Run:
        return read_run(self.workspace, self.connection, self.run_id, executions, report)

    @property
    def _origin(self) -> dict[str, Any]:
        """The report's fields on what the run is of."""
        of_files = {"config_file": _writable(self.config_file), "data_root": _writable(self.data_root)}
        return {"pipeline": self.pipeline_name, **of_files}

    @property
    def _file(self) -> Path:
        return self.workspace.reports / f"{self.run_id}.json"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the lock of the reports: a scheduler runs nodes of one run at the same time."""
        self.workspace.reports.mkdir(parents=True, exist_ok=True)
        with FileLock(self.workspace.reports / ".lock"):
            yield

    @contextlib.contextmanager
    def _logging_errors(self) -> Iterator[None]:
        """Logs what prevents a report, such as the full disk on which a node failed; the node's error is raised."""
        try:
            yield
        except (OSError, InputError):
            logging.exception("the report of the run %s was not written", self.run_id)


def _writable(text: str) -> str:
    """Replaces what UTF-8 cannot encode: a file's name may have bytes that Python reads as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()
