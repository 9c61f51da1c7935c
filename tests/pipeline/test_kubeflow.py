"""The pipeline specification for Kubeflow Pipelines, validated by its own reader and backend rules; and its steps."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.compile.compiled import read_topology, write_compiled
from pipeline.compile.kubeflow import DAY_BEFORE, Cluster, write_kubeflow
from pipeline.runner.kubeflow_step import Step
from pipeline.runner.launch import NodeEvent
from tests.e2e.store import CONFIG
from tests.pipeline.report.run_results import run_result
from transform.config.config_file import load_config
from transform.config.schedule import Pod, Schedule
from transform.errors import InputError

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    config = load_config(CONFIG)
    pods = {"trainer": Pod(cpu="8", memory="32Gi", node_selector={"pool": "training"})}
    schedule = Schedule(start=datetime.date(2026, 1, 1), first_span=10, pods=pods, timezone="Asia/Tokyo")
    write_compiled(dataclasses.replace(config, schedule=schedule), folder)
    return folder


@pytest.fixture(scope="module")
def file(compiled: Path) -> Path:
    file = compiled / "small_store.yaml"
    # For each setting of a task, kfp 2.16.1 looks up the source of all frames; a thread has a few, pytest many.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(write_kubeflow, read_topology(compiled), Cluster("store/wdr:7", "storage", "mlmd"), file).result()
    return file


@pytest.fixture(scope="module")
def documents(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline specification, and the platform-specific one."""
    spec, platform = yaml.safe_load_all(file.read_text())
    return spec, platform


def test_each_pod_may_reach_beams_job_server(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """By the label that the network policy of deploy/beam/flink.yaml asks for."""
    _, platform = documents
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors
    for executor in executors.values():
        assert executor["podMetadata"]["labels"] == {"sends-beam-jobs": "true"}


def test_it_is_a_pipeline_spec_to_the_last_key(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    spec, _ = documents
    parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    assert parsed.schema_version == "2.1.0"


def test_kubeflow_s_own_client_loads_it(file: Path) -> None:
    loaded = components.load_component_from_file(str(file))
    assert set(loaded.component_spec.inputs) == {"span", "compiled", "data", "workspace"}


def keys(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from keys(value)
    elif isinstance(document, list):
        for value in document:
            yield from keys(value)


def test_nothing_in_it_is_what_open_source_kubeflow_rejects(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """It runs only containers, no resolvers or importers; its names are legal, and its values constant."""
    spec, _ = documents
    executors = spec["deploymentSpec"]["executors"]
    assert {kind for executor in executors.values() for kind in executor} == {"container"}
    tasks = spec["root"]["dag"]["tasks"]
    assert all(NAME.fullmatch(name) for name in [*tasks, *executors, *spec["components"], spec["pipelineInfo"]["name"]])
    assert "constantValue" not in set(keys(spec))
    for task in tasks.values():
        assert spec["components"][task["componentRef"]["name"]]["executorLabel"] in executors
        assert set(task.get("dependentTasks", [])) <= set(tasks)
        for value in task["inputs"]["parameters"].values():
            assert set(value) in ({"componentInputParameter"}, {"runtimeValue"})
            assert set(value.get("runtimeValue", {"constant": ""})) == {"constant"}


def test_each_node_is_a_step_and_none_is_cached(
    compiled: Path, documents: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    topology = json.loads((compiled / "topology.json").read_text())
    spec, platform = documents
    tasks = spec["root"]["dag"]["tasks"]
    expected = {n["id"].replace("_", "-"): [u.replace("_", "-") for u in n["upstream"]] for n in topology["nodes"]}
    assert {name: sorted(task.get("dependentTasks", [])) for name, task in tasks.items()} == expected
    assert {json.dumps(task["cachingOptions"]) for task in tasks.values()} == {"{}"}
    assert {task["taskInfo"]["name"] for task in tasks.values()} == {node["id"] for node in topology["nodes"]}
    container = spec["deploymentSpec"]["executors"]["exec-trainer"]["container"]
    assert container["image"] == "store/wdr:7"
    assert [*container["command"], *container["args"]] == [
        "wdr", "kubeflow-step", "--node", "trainer", "--executor-input", "{{$}}",
    ]  # fmt: skip
    asked = {key: container["resources"][key] for key in ("resourceCpuRequest", "resourceMemoryLimit")}
    assert asked == {"resourceCpuRequest": "8", "resourceMemoryLimit": "32Gi"}
    on_cluster = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-trainer"]
    assert on_cluster["nodeSelector"]["labels"] == {"pool": "training"}
    assert [mount["mountPath"] for mount in on_cluster["pvcMount"]] == ["/storage"]
    assert [secret["secretName"] for secret in on_cluster["secretAsEnv"]] == ["mlmd"]


def executor_input(compiled: Path, folder: Path, **values: Any) -> str:
    """Returns the executor input as Kubeflow's launcher passes it to a step."""
    parameters = {
        "span": DAY_BEFORE, "scheduled": "2026-03-01T20:00:00Z", "run_id": "7d0c", "compiled": str(compiled),
        "data": "/storage/data", "workspace": str(folder / "workspace"), **values,
    }  # fmt: skip
    report = {
        "name": "report",
        "type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"},
        "uri": "minio://mlpipeline/v2/artifacts/small-store/7d0c/trainer/report",
        "metadata": {},
    }
    outputs = {"artifacts": {"report": {"artifacts": [report]}}, "outputFile": str(folder / "executor_output.json")}
    return json.dumps({"inputs": {"parameterValues": parameters}, "outputs": outputs})


def test_a_scheduled_step_is_for_the_day_before(compiled: Path, tmp_path: Path) -> None:
    """20:00 UTC on 2026-03-01 is 2026-03-02 in Tokyo; the day before is 59 days after the first day, span 10."""
    assert Step(executor_input(compiled, tmp_path)).span == 69
    assert Step(executor_input(compiled, tmp_path, span=7)).span == 7


def step_that_waits(folder: Path, seconds: float) -> Step:
    """Returns the first step of a run of span 7, with `wait_seconds` for two tries."""
    schedule = Schedule(retries=1, wait_seconds=seconds, poll_seconds=0.05)
    write_compiled(dataclasses.replace(load_config(CONFIG), schedule=schedule), folder / "compiled")
    return Step(executor_input(folder / "compiled", folder, data=str(folder / "data"), span=7))


def test_a_step_waits_for_the_logs_of_its_span(tmp_path: Path) -> None:
    step = step_that_waits(tmp_path, 60)
    marker = tmp_path / "data" / "impressions" / "day-7" / "_SUCCESS"
    marker.parent.mkdir(parents=True)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(step.wait_for_logs)
        assert not waiting.done()
        marker.touch()
        waiting.result(20)


def test_a_step_whose_logs_are_not_complete_fails_after_its_share_of_the_wait(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"day-7/_SUCCESS when .* of span 7 are complete\. .* after 1 s of waiting"):
        step_that_waits(tmp_path, 2).wait_for_logs()


def test_a_backend_that_does_not_tell_the_time_is_told_of(compiled: Path, tmp_path: Path) -> None:
    step = Step(executor_input(compiled, tmp_path, scheduled="{{$.pipeline_job_schedule_time_utc}}"))
    with pytest.raises(
        InputError, match=r"give the parameter `span`\. Received: '\{\{\$\.pipeline_job_schedule_time_utc"
    ):
        _ = step.span


def test_what_became_of_a_node_is_told_where_the_launcher_looks(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WDR_STAGING_ROOT", str(tmp_path / "staged"))
    step = Step(executor_input(compiled, tmp_path))
    step.report(NodeEvent("trainer", "done", 12.5, 40), None)
    reported = {"node": "trainer", "state": "done", "execution": 40}
    place = "minio/mlpipeline/v2/artifacts/small-store/7d0c/trainer/report"
    assert json.loads((tmp_path / "staged" / place).read_text()) == reported
    text = (tmp_path / "executor_output.json").read_text()
    output = json_format.Parse(text, pipeline_spec_pb2.ExecutorOutput(), ignore_unknown_fields=False)
    (report,) = output.artifacts["report"].artifacts
    assert report.uri == "minio://mlpipeline/v2/artifacts/small-store/7d0c/trainer/report"
    assert json_format.MessageToDict(report.metadata) == reported


def test_after_the_last_node_the_step_has_the_run_s_result(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WDR_STAGING_ROOT", str(tmp_path / "staged"))
    step = Step(executor_input(compiled, tmp_path))
    step.report(NodeEvent("push", "done", 1.5, 41), run_result(status="refused", version=None, refusals=("a", "b")))
    place = "minio/mlpipeline/v2/artifacts/small-store/7d0c/trainer/report"
    assert json.loads((tmp_path / "staged" / place).read_text()) == {
        "node": "push", "state": "done", "execution": 41,
        "status": "refused", "version": None, "refusals": "a b", "auc": 0.75,
    }  # fmt: skip


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "/etc/passwd", "minio://a/../../etc/passwd"])
def test_another_place_is_refused(uri: str, compiled: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^an artifact's place begins with one of \['gs://', 'minio://', 's3://'\]"):
        Step(executor_input(compiled, tmp_path)).staged(uri)


@pytest.mark.parametrize("text", ["", "{", '{"inputs": 3}'])
def test_what_is_no_executor_input_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Step(text)
