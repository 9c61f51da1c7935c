"""A compiled pipeline contains no paths and no secrets; a run fills them in."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from pipeline.compile.compiled import (
    CONFIG_FILE,
    INGESTION_IR_FILE,
    IR_FILE,
    TOPOLOGY_FILE,
    RunEnvironment,
    read_config,
    read_ir,
    read_topology,
    write_compiled,
)
from pipeline.compile.targets import AIRFLOW_DAG
from pipeline.compile.topology import CompiledSchedule, marker_path
from pipeline.create import create_pipeline
from pipeline.metadata.connection import METADATA_URL
from pipeline.nodes.settings import RunSettings
from pipeline.runner.launch import compile_pipeline
from pipeline.workspace import Workspace
from tests.e2e.store import CONFIG
from transform.config.beam import Beam
from transform.config.config_file import load_config
from transform.config.schedule import Pod
from transform.errors import InputError


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(METADATA_URL, "postgresql://wdr:sesame@db/mlmd")
        write_compiled(load_config(CONFIG), folder)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> RunEnvironment:
    return RunEnvironment(str(tmp_path / "logs of the store"), Workspace.at(tmp_path / "workspace"))


def test_it_names_no_place_and_no_secret(compiled: Path) -> None:
    assert {path.name for path in compiled.iterdir()} == {IR_FILE, INGESTION_IR_FILE, TOPOLOGY_FILE, CONFIG_FILE}
    text = "".join(path.read_text() for path in compiled.iterdir())
    for unwanted in ("sesame", "postgresql", str(compiled), str(CONFIG.parent)):
        assert unwanted not in text


def test_a_run_is_the_pipeline_that_wdr_run_would_run(compiled: Path, environment: RunEnvironment) -> None:
    """They are equal in every property, so that each uses the other's cached results."""
    found = read_ir(compiled, IR_FILE, environment, 7, "a-run")
    settings = RunSettings(environment.data_root, environment.workspace, 7)
    expected = compile_pipeline(create_pipeline(load_config(CONFIG), settings), "a-run")
    assert as_dict(found) == as_dict(expected)


def test_a_run_whose_span_is_accepted_gives_its_gates_the_reason(compiled: Path, environment: RunEnvironment) -> None:
    ir = read_ir(compiled, IR_FILE, environment, 7, "a-run", 'the "bots" are gone')
    reasons = {
        node.pipeline_node.node_info.id: node.pipeline_node.parameters.parameters[
            "accept_reason"
        ].field_value.string_value
        for node in ir.nodes
        if "accept_reason" in node.pipeline_node.parameters.parameters
    }
    assert reasons == dict.fromkeys(["row_gate", "anomaly_gate", "data_gate"], 'the "bots" are gone')


def test_an_earlier_span_is_ingested_alike(compiled: Path, environment: RunEnvironment) -> None:
    settings = RunSettings(environment.data_root, environment.workspace, 6)
    expected = compile_pipeline(create_pipeline(load_config(CONFIG), settings, only_ingest=True), "a-run-ingest-6")
    assert as_dict(read_ir(compiled, INGESTION_IR_FILE, environment, 6, "a-run-ingest-6")) == as_dict(expected)


def as_dict(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(message)
    return found


def test_the_topology_is_in_an_order_in_which_nodes_can_run(compiled: Path) -> None:
    topology = read_topology(compiled)
    assert topology.name == "small_store"
    done: set[str] = set()
    for node in topology.nodes:
        assert set(node.upstream) <= done
        done.add(node.id)
    assert {"example_gen", "transform", "trainer", "infra_validation", "evaluator", "push"} <= done
    (push,) = [node for node in topology.nodes if node.id == "push"]
    assert {"evaluator", "infra_validation"} <= set(push.upstream)


def test_a_run_waits_for_the_impressions_marker(compiled: Path) -> None:
    schedule = read_topology(compiled).schedule
    assert schedule.marker == "impressions/day-{SPAN}/_SUCCESS"
    assert marker_path(schedule, "/logs", 7) == "/logs/impressions/day-7/_SUCCESS"


def test_a_marker_has_the_span_in_its_width_or_its_date() -> None:
    """2026-01-05 is 20,458 days after 1970-01-01."""
    start = datetime.date(2026, 1, 1)
    schedule = CompiledSchedule(start=start, first_span=20454, marker="{YYYY}/{MM}-{DD}.{SPAN:6}", pods={})
    assert marker_path(schedule, "/logs", 20458) == "/logs/2026/01-05.020458"


def test_the_config_comes_back(compiled: Path) -> None:
    assert read_config(compiled) == load_config(CONFIG)


def test_other_code_does_not_run_it(compiled: Path, tmp_path: Path) -> None:
    topology = json.loads((compiled / TOPOLOGY_FILE).read_text())
    (tmp_path / TOPOLOGY_FILE).write_text(json.dumps({**topology, "code": "0" * 64}))
    with pytest.raises(InputError, match=r"^a pipeline runs with the code that it was compiled with; compile it again"):
        read_topology(tmp_path)


def test_an_earlier_release_s_is_to_be_compiled_again(compiled: Path, tmp_path: Path) -> None:
    """Release 0.2.0 wrote other keys, which this one's schema need not allow."""
    topology = json.loads((compiled / TOPOLOGY_FILE).read_text())
    del topology["tasks"]
    (tmp_path / TOPOLOGY_FILE).write_text(json.dumps({**topology, "code": "0" * 64}))
    with pytest.raises(InputError, match=r"^a pipeline runs with the code that it was compiled with; compile it again"):
        read_topology(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"schema_version": 1', '"schema_version": 2', "must have `schema_version` 1"),
        ('"retries": 3', '"retries": "3"', r"must follow its schema: `schedule\.retries`: .* Received: '3' \("),
        ('"name"', '"names"', "must have the key `name`"),
        ('"code"', '"codes"', "must have the key `code`"),
        ("{", "", "must be JSON"),
    ],
)
def test_a_damaged_topology_is_named(compiled: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (compiled / TOPOLOGY_FILE).read_text()
    assert old in text
    (tmp_path / TOPOLOGY_FILE).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=f"^a compiled pipeline's topology {message}.*{TOPOLOGY_FILE}"):
        read_topology(tmp_path)


def test_another_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a compiled pipeline is what `wdr compile` wrote; there is no "):
        read_topology(tmp_path)


def test_the_dag_reads_the_same_version(compiled: Path, tmp_path: Path) -> None:
    """Only Airflow's environment can import the DAG's file; its reader needs the standard library alone."""
    body = ast.parse(AIRFLOW_DAG.read_text(encoding="utf-8")).body
    wanted = [part for part in body if ast.unparse(part).startswith(("SCHEMA_VERSION = ", "def read_topology("))]
    assert len(wanted) == 2
    scope: dict[str, Any] = {"json": json, "Path": Path, "Any": Any}
    exec(compile(ast.Module(wanted, []), str(AIRFLOW_DAG), "exec"), scope)
    file = compiled / TOPOLOGY_FILE
    topology = scope["read_topology"](file)
    assert topology == json.loads(file.read_text())
    (tmp_path / TOPOLOGY_FILE).write_text(json.dumps({**topology, "schema_version": 2}))
    with pytest.raises(ValueError, match=r"must have `schema_version` 1; compile it again\. Received: 2 \("):
        scope["read_topology"](tmp_path / TOPOLOGY_FILE)


def test_a_path_that_would_break_the_text_is_refused(compiled: Path, environment: RunEnvironment) -> None:
    with pytest.raises(InputError, match=r"^a path must be without quotes, backslashes and control characters"):
        read_ir(compiled, IR_FILE, RunEnvironment('/data"', environment.workspace), 1, "a-run")


def test_a_node_that_reads_rows_asks_for_what_its_workers_need() -> None:
    """Of four workers: a processor each, and 1 GiB each beside the node's own 4."""
    config = dataclasses.replace(load_config(CONFIG), beam=Beam(num_workers=4))
    own = {"transform": Pod(cpu="2", memory="16Gi")}
    for given, of_rows in (({}, Pod("4", "8Gi")), ({"default": Pod("2", "3Gi")}, Pod("2", "3Gi"))):
        schedule = dataclasses.replace(config.schedule, pods={**given, **own})
        pods = CompiledSchedule.of(dataclasses.replace(config, schedule=schedule)).pods
        asked = {node: pods.get(node, pods["default"]) for node in ("example_gen", "evaluator", "transform", "trainer")}
        expected = {"example_gen": of_rows, "evaluator": of_rows, "trainer": given.get("default", Pod("1", "4Gi"))}
        assert asked == {**expected, **own}
