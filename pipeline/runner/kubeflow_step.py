"""A step of Kubeflow Pipelines: reads the launcher's input, and writes the output that the launcher expects.

The launcher passes an `ExecutorInput`: the parameters' values, the URIs of the step's output artifacts, and the path of
the `ExecutorOutput` file that it reads afterwards. A URI on an object store, such as `minio://bucket/key`, is mapped to
a path in the step's container, `/minio/bucket/key`, whose files the launcher uploads.
Source: kfp.pipeline_spec, pipeline_spec.proto; the launcher of Kubeflow Pipelines 2, `LocalPathForURI`.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components import storage
from pipeline.compile.compiled import RunEnvironment, read_topology
from pipeline.compile.kubeflow import DAY_BEFORE
from pipeline.compile.topology import marker_path
from pipeline.report.run_report import RunResult
from pipeline.runner.launch import NodeEvent
from pipeline.workspace import Workspace
from transform.errors import InputError

#: The URI schemes that the launcher stages, each below a folder of its own.
_FOLDERS = {"gs": "gcs", "minio": "minio", "s3": "s3"}


class Step:
    """A step, as the launcher describes it. URIs are staged below `/`, or in tests below WDR_STAGING_ROOT.

    Args:
      executor_input: The serialized ExecutorInput, JSON.

    Raises:
      InputError: If it is not an ExecutorInput, or lacks a parameter.
    """

    def __init__(self, executor_input: str):
        try:
            self._input = json_format.Parse(
                executor_input, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True
            )
        except json_format.ParseError as error:
            raise InputError(f"a step is given an ExecutorInput as JSON. Received: {error}") from error
        self.compiled = Path(self._text("compiled"))
        self.environment = RunEnvironment(self._text("data"), Workspace.at(self._text("workspace")))
        self.run_id = self._text("run_id")

    @property
    def span(self) -> int:
        """The requested span; in a scheduled run, the span of the day before the scheduled time."""
        asked = int(self._value("span").number_value)
        if asked != DAY_BEFORE:
            return asked
        schedule = read_topology(self.compiled).schedule
        try:
            when = datetime.datetime.fromisoformat(self._text("scheduled"))
        except ValueError as error:
            raise InputError(
                "a scheduled run's steps receive its time from Kubeflow's backend after version 2.16.1; "
                f"before it, give the parameter `span`. Received: {self._text('scheduled')!r}"
            ) from error
        day = when.astimezone(schedule.zone).date() - datetime.timedelta(days=1)
        return schedule.first_span + (day - schedule.start).days

    def wait_for_logs(self) -> None:
        """Waits until the span's logs are complete, as `wait_for_logs` in Airflow does.

        Kubeflow tries a step again that has waited in vain, so each try has its share of `schedule.wait_seconds`.

        Raises:
          InputError: If the logs are not complete by then.
        """
        schedule = read_topology(self.compiled).schedule
        marker = marker_path(schedule, self.environment.data_root, self.span)
        seconds = schedule.wait_seconds / (schedule.retries + 1)
        end = time.monotonic() + seconds
        while not storage.exists(marker):
            left = end - time.monotonic()
            if left <= 0:
                raise InputError(
                    f"a store writes {marker} when the logs of span {self.span} are complete. It is not there after "
                    f"{seconds:,.0f} s of waiting: `schedule.wait_seconds`, divided by the number of tries"
                )
            time.sleep(min(schedule.poll_seconds, left))

    def report(self, event: NodeEvent, run_result: RunResult | None) -> None:
        """Writes the report, and the ExecutorOutput that passes it to Kubeflow.

        Args:
          event: The node's end.
          run_result: The run's result, after the last node; else None.
        """
        content: dict[str, Any] = {"node": event.node_id, "state": event.state, "execution": event.execution_id}
        if run_result is not None:
            metrics = {name: value if math.isfinite(value) else None for name, value in run_result.metrics.items()}
            content |= {"status": run_result.status, "version": run_result.version}
            content |= {"refusals": " ".join(run_result.refusals), **metrics}
        report = self._input.outputs.artifacts["report"].artifacts[0]
        storage.write_text(str(self.staged(report.uri)), json.dumps(content, indent=2))
        for name, value in content.items():
            if value is not None:
                key = "number_value" if isinstance(value, int | float) else "string_value"
                setattr(report.metadata.fields[name], key, value)
        output = pipeline_spec_pb2.ExecutorOutput()
        output.artifacts["report"].artifacts.append(report)
        storage.write_text(self._input.outputs.output_file, json_format.MessageToJson(output))

    def staged(self, uri: str) -> Path:
        """Returns the path in this container at which the launcher stages a URI on an object store."""
        scheme, separator, key = uri.partition("://")
        if not separator or scheme not in _FOLDERS or ".." in key.split("/"):
            allowed = [f"{name}://" for name in _FOLDERS]
            raise InputError(f"an artifact's place begins with one of {allowed}. Received: {uri!r}")
        return Path(os.environ.get("WDR_STAGING_ROOT", "/")) / _FOLDERS[scheme] / key

    def _value(self, name: str) -> Any:
        values = self._input.inputs.parameter_values
        if name not in values:
            raise InputError(f"a step has the parameter `{name}`. Received: {sorted(values)}")
        return values[name]

    def _text(self, name: str) -> str:
        return str(self._value(name).string_value)
