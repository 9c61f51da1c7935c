"""Runs days by the steps of the compiled Kubeflow pipeline, each in its own process, and the same days by `wdr run`.

    python -m tests.soak.kubeflow_steps [--days 2]

There is no cluster: this takes the specification apart as Kubeflow does, and starts each step's command with the
ExecutorInput that Kubeflow's launcher would pass to it. Its artifacts are staged below a folder, as the launcher stages
those of an object store. Exits with code 1 if a step fails or reports nothing, if a day is not pushed, or if a day
gives another result than `wdr run`.
"""

from __future__ import annotations

import argparse
import dataclasses
import graphlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.cli.options import quiet_imports
from tests.e2e import store

with quiet_imports():
    from tests.soak.same_days import differences, report_of, unchained

_STEP_SECONDS = 1800
_BUCKET = "mlpipeline/v2/artifacts"


@dataclasses.dataclass(frozen=True)
class Launcher:
    """Executes a specification as Kubeflow does.

    Attributes:
      file: The specification.
      folder: The folder for staged artifacts.
    """

    file: Path
    folder: Path

    def run(self, values: Mapping[str, Any], progress: Progress) -> dict[str, dict[str, Any]]:
        """Runs all steps, two at a time, each after the steps that it depends on.

        Args:
          values: The pipeline's parameters.
          progress: Shows the finished steps.

        Returns:
          The metadata of each step's report, by step.
        """
        spec = next(yaml.safe_load_all(self.file.read_text()))
        tasks, job = spec["root"]["dag"]["tasks"], str(uuid.uuid4())
        order = graphlib.TopologicalSorter({name: task.get("dependentTasks", []) for name, task in tasks.items()})
        order.prepare()
        reported: dict[str, dict[str, Any]] = {}
        bar = progress.add_task(f"steps of span {values['span']}", total=len(tasks))
        with ThreadPoolExecutor(2) as pool:
            running: dict[Future[dict[str, Any]], str] = {}
            while order.is_active():
                for name in order.get_ready():
                    running[pool.submit(self._step, spec, name, values, job)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    reported[name] = future.result()
                    order.done(name)
                    progress.advance(bar)
        return reported

    def _step(self, spec: Mapping[str, Any], name: str, values: Mapping[str, Any], job: str) -> dict[str, Any]:
        task = spec["root"]["dag"]["tasks"][name]
        component = spec["components"][task["componentRef"]["name"]]
        container = spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        given, output_file = self._executor_input(task, component, values, job)
        command = [part.replace("{{$}}", given) for part in (*container["command"], *container["args"])]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        variables = {**os.environ, "PATH": path, "WDR_STAGING_ROOT": str(self.folder)}
        done = subprocess.run(
            command, env=variables, cwd=self.folder, capture_output=True, text=True, timeout=_STEP_SECONDS, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"the step {name} must end with 0. Received: {done.returncode}\n{done.stderr[-2000:]}")
        output = json_format.Parse(output_file.read_text(), pipeline_spec_pb2.ExecutorOutput())
        (report,) = output.artifacts["report"].artifacts
        staged = self.folder / report.uri.replace("://", "/")
        metadata: dict[str, Any] = json_format.MessageToDict(report.metadata)
        if json.loads(staged.read_text())["node"] != metadata["node"]:
            raise RuntimeError(f"the step {name} must tell the same in both places ({staged})")
        return metadata

    def _executor_input(
        self, task: Mapping[str, Any], component: Mapping[str, Any], values: Mapping[str, Any], job: str
    ) -> tuple[str, Path]:
        name = task["taskInfo"]["name"]
        placeholders = {
            "{{$.pipeline_job_uuid}}": job,
            "{{$.pipeline_job_schedule_time_utc}}": "2026-01-02T04:00:00Z",
        }
        parameters = {
            key: values[value["componentInputParameter"]]
            if "componentInputParameter" in value
            else placeholders[value["runtimeValue"]["constant"]]
            for key, value in task["inputs"]["parameters"].items()
        }
        artifacts = {
            key: {
                "artifacts": [
                    {"name": key, "type": how["artifactType"], "uri": f"minio://{_BUCKET}/{job}/{name}/{key}"}
                ]
            }
            for key, how in component["outputDefinitions"]["artifacts"].items()
        }
        output_file = self.folder / f"{job}-{name}.json"
        outputs = {"artifacts": artifacts, "outputFile": str(output_file)}
        return json.dumps({"inputs": {"parameterValues": parameters}, "outputs": outputs}), output_file


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=2)
    options = parser.parse_args()
    console, problems = Console(highlight=False), []
    table = Table("span", "version", "AUC by steps", "AUC by wdr run", "warm-started from")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as name, Progress(*columns, console=console) as progress:
        folder = Path(name)
        data = store.simulate(folder / "data", days=options.days)
        store.wdr_ok("compile", store.CONFIG, "--target", "kubeflow", "--image", "wdr", "--out", folder / "compiled")
        launcher = Launcher(folder / "compiled" / f"{store.NAME}.yaml", folder / "staged")
        launcher.folder.mkdir()
        for span in range(1, options.days + 1):
            places = {"compiled": folder / "compiled", "data": data, "workspace": folder / "steps"}
            values = {"span": span, **{key: str(path) for key, path in places.items()}}
            reported = launcher.run(values, progress)
            store.wdr_ok(*store.run_arguments(data, folder / "run", span))
            problems += differences(span, folder / "run", folder / "steps")
            if reported["push"].get("version") != span:
                problems.append(f"the step push must tell version {span}. Received: {reported['push']}")
            by_steps, by_run = (report_of(folder / way, span) or {} for way in ("steps", "run"))
            table.add_row(
                str(span), str(by_steps["version"]), f"{by_steps['metrics']['auc']:.6f}",
                f"{by_run['metrics']['auc']:.6f}", by_steps["training"]["warm_started_from"] or "—",
            )  # fmt: skip
        problems += unchained(folder / "steps", range(1, options.days + 1))
    console.print(table)
    for problem in problems:
        console.print(f"[red]{problem}[/red]")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
