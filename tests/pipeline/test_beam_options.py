"""Beam's options reach the executors of a run's nodes, and are no part of TFX's cache key."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from pipeline.beam_options import LOCAL_BEAM_ARGS, check_beam, make_beam_args
from pipeline.create import create_pipeline
from pipeline.nodes.settings import RunSettings
from pipeline.runner.launch import compile_pipeline, run_nodes
from pipeline.workspace import Workspace
from tests.canaries.tiny_pipeline import connection
from tests.e2e.store import CONFIG
from transform.config.beam import Beam
from transform.config.config_file import load_config
from transform.errors import InputError

CLUSTER = ("--runner=FlinkRunner", "--flink_master=flink:8081", "--environment_type=EXTERNAL", "--checkpoint_dir=/c")


class _Executor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
    """Writes down the options that it has."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        folder = Path(output_dict["schema"][0].uri)
        (folder / "args.json").write_text(json.dumps(self._beam_pipeline_args))


class _Spec(ComponentSpec):  # type: ignore[misc]
    PARAMETERS: dict[str, Any] = {}
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"schema": ChannelParameter(type=standard_artifacts.Schema)}


class _OnBeam(base_beam_component.BaseBeamComponent):  # type: ignore[misc]
    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(_Executor)


def run(folder: Path, run_id: str, beam_args: tuple[str, ...]) -> str:
    """Runs a pipeline of one node on Beam; returns how the node ended."""
    component = _OnBeam(spec=_Spec(schema=types.Channel(type=standard_artifacts.Schema)))
    pipeline = tfx_pipeline.Pipeline(
        pipeline_name="on_beam",
        pipeline_root=str(folder / "artifacts"),
        components=[component],
        enable_cache=True,
        beam_pipeline_args=list(LOCAL_BEAM_ARGS),
    )
    _, end = run_nodes(compile_pipeline(pipeline, run_id), connection(folder), beam_args)
    return end.state


def test_a_node_has_the_run_s_options_and_other_options_take_it_from_the_cache(tmp_path: Path) -> None:
    processes = make_beam_args(Beam(num_workers=3))
    assert run(tmp_path, "one", processes) == "done"
    (file,) = tmp_path.rglob("args.json")
    given = json.loads(file.read_text())  # TFX adds labels
    assert given[: len(processes)] == list(processes)
    assert not [arg for arg in given if arg.startswith("--direct") and arg not in processes]
    assert run(tmp_path, "two", LOCAL_BEAM_ARGS) == "cached"
    assert list(tmp_path.rglob("args.json")) == [file]


def test_a_compiled_pipeline_is_the_same_with_other_options(tmp_path: Path) -> None:
    """A node's cache key is a hash of parts of it."""
    config = load_config(CONFIG)
    settings = RunSettings(str(tmp_path), Workspace(tmp_path / "workspace"), 1)
    first, *others = (
        compile_pipeline(create_pipeline(dataclasses.replace(config, beam=beam), settings), "a-run")
        for beam in (Beam(), Beam(num_workers=4), Beam(workers=("a:1", "b:1")), Beam(args=CLUSTER))
    )
    assert all(other == first for other in others)


def test_a_config_s_options() -> None:
    assert make_beam_args(Beam()) == LOCAL_BEAM_ARGS
    assert make_beam_args(Beam(args=CLUSTER)) == CLUSTER
    assert make_beam_args(Beam(num_workers=3)) == (
        "--runner=pipeline.beam_workers.runner.ForkedRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=3",
        "--sdk_container_image=none",
    )
    assert make_beam_args(Beam(workers=("a:1", "b:2"))) == (
        "--runner=pipeline.beam_workers.runner.PoolsRunner",
        "--environment_config=a:1,b:2",
        "--sdk_container_image=none",
    )


@pytest.mark.parametrize(
    ("args", "reported"),
    [
        (["--runner=FnApiRunner", "--spam=1"], "be options that Beam knows, with FnApiRunner. Received: --spam"),
        (["--runner=dataflow", "--spam"], "be options that Beam knows, with dataflow. Received: --spam"),
        (
            ["--runner=FnApiRunner", "--direct_num_workers=two"],
            "be options that Beam knows: argument --direct_num_workers: invalid int value: 'two'",
        ),
        (
            ["--runner=FlinkRunner", "--flink_version=1.13"],
            "be options that Beam knows: argument --flink_version: invalid choice: '1.13' ",
        ),
        (["--runner=Flnk"], "name a runner of Beam's, or a class by its dotted path. Received: 'Flnk'; allowed: ['B"),
    ],
)
def test_what_beam_does_not_know_is_refused(args: list[str], reported: str) -> None:
    with pytest.raises(InputError) as raised:
        check_beam(Beam(args=tuple(args)))
    assert str(raised.value).startswith(f"`beam.args` (`--beam-arg`) must {reported}")


@pytest.mark.parametrize(
    "args", [LOCAL_BEAM_ARGS, CLUSTER, ("--runner=flink",), ("--runner=my.own.Runner",), ("--runner=DataflowRunner",)]
)
def test_a_job_server_may_know_more_options(args: tuple[str, ...]) -> None:
    """`--checkpoint_dir` is an option of Flink's job server; Beam learns such options from it when a job starts."""
    check_beam(Beam(args=args))
