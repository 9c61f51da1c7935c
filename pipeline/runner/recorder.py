"""The record of a run: its report is written however the run ends, by `wdr run` and by a scheduler's nodes alike."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from absl import logging
from ml_metadata.proto import metadata_store_pb2

from components import storage
from pipeline.errors import first_line
from pipeline.outages import outage
from pipeline.report.prometheus import RunRecord
from pipeline.report.run_report import RunReport, RunResult, read_report
from pipeline.report.run_result import read_run_result
from pipeline.report.write import write_report
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
    """

    workspace: Workspace
    connection: metadata_store_pb2.ConnectionConfig
    pipeline_name: str
    run_id: str
    span: int

    @contextlib.contextmanager
    def recording_errors(self, node: Callable[[], str], executions: Callable[[], Mapping[str, int]]) -> Iterator[None]:
        """Runs nodes; if a gate stops the run, or a node fails, writes the report of it, and raises the error again.

        Args:
          node: Returns the node that runs.
          executions: Returns, by node, its execution so far.
        """
        try:
            yield
        except GateError as error:
            self._write(executions(), RunReport.skipped(self.span, node(), _writable(str(error))))
            raise
        except Exception as error:
            self._record_failure(node(), error)
            raise

    def ended(self, executions: Mapping[str, int]) -> tuple[RunResult, Path]:
        """Writes the report of a run whose last node is done; returns the run's result and the report's path.

        Args:
          executions: By node, its execution.
        """
        run_result = dataclasses.replace(read_run_result(self.connection, executions), span=self.span)
        return run_result, self._write(executions, run_result)

    def _record_failure(self, node: str, error: Exception) -> None:
        """Writes the report of a run that failed; its metrics and lineage wait for the run's end, after a retry.

        It does not replace the report that another node of the run has written of the run's end. What prevents the
        report, such as the full disk on which the node failed, is logged, since the caller raises the node's error.
        """
        file = self.workspace.reports / f"{self.run_id}.json"
        try:
            why = str(error) if isinstance(error, UserError) else outage(error, self.workspace) or first_line(error)
            report = RunReport.failed(self.span, node, _writable(why))
            if not file.exists() or read_report(file).status == "failed":
                storage.write_text(str(file), report.to_json())
        except (OSError, InputError):
            logging.exception("the report of the failed run %s was not written", self.run_id)

    def _write(self, executions: Mapping[str, int], report: RunReport) -> Path:
        record = RunRecord(self.pipeline_name, self.run_id, executions, report)
        return write_report(self.workspace, self.connection, record)


def _writable(text: str) -> str:
    """Replaces what UTF-8 cannot encode: a file's name may have bytes that Python reads as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()
