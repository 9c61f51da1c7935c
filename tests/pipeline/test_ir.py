"""The ML Metadata queries of a compiled pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tfx.components import CsvExampleGen, StatisticsGen
from tfx.dsl.compiler import compiler
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_artifact_strategy import LatestArtifactStrategy
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import Channel, standard_artifacts

from pipeline.compile.ir import compile_ir
from pipeline.create import create_pipeline
from pipeline.nodes.settings import RunSettings
from pipeline.runner.launch import compile_pipeline
from pipeline.workspace import Workspace
from tests.e2e.store import CONFIG
from transform.config.config_file import load_config

Questions = dict[tuple[str, str, str], list[tuple[str, ...]]]


def context_of(query: Any) -> str:
    kind, name = query.type.name, query.name.field_value.string_value
    return f"{kind} {name}" if kind.startswith("node") else kind


def questions(ir: pipeline_pb2.Pipeline) -> Questions:
    """Returns, by node, input and artifact type, each channel's contexts, with the node where there is one."""
    found: Questions = {}
    for node in (n.pipeline_node for n in ir.nodes):
        for key, of_input in node.inputs.inputs.items():
            for channel in of_input.channels:
                asked = tuple(context_of(query) for query in channel.context_queries)
                found.setdefault((node.node_info.id, key, channel.artifact_query.type.name), []).append(asked)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Questions, Questions]:
    """The queries of the pipeline as TFX compiles it, and as it is run."""
    settings = RunSettings("/data", Workspace.at(tmp_path_factory.mktemp("workspace")), 1)
    pipeline = create_pipeline(load_config(CONFIG), settings)
    return questions(compiler.Compiler().compile(pipeline)), questions(compile_pipeline(pipeline, "night-1"))


def test_an_input_of_the_run_is_asked_for_in_its_node_s_context_in_the_run(found: tuple[Questions, Questions]) -> None:
    by_tfx, ours = found
    of_run = {key: asked for key, asked in by_tfx.items() if len(asked[0]) == 3}
    assert len(of_run) > 40
    for key, ((in_pipeline, in_run, node),) in of_run.items():
        assert (in_pipeline, in_run) == ("pipeline", "pipeline_run")
        assert ours[key] == [(f"node_run night-1.{node.removeprefix('node small_store.')}",)]


def test_what_is_of_all_runs_is_asked_for_in_the_node_that_makes_it(found: tuple[Questions, Questions]) -> None:
    by_tfx, ours = found
    of_all = [key for key, asked in by_tfx.items() if asked == [("pipeline",)]]
    assert sorted((node, kind, *ours[node, key, kind]) for node, key, kind in of_all) == [
        ("analyzer_cache", "TransformCache", ("node small_store.transform",)),
        ("anchor_model", "Model", ("node small_store.trainer",)),
        ("earlier_quality", "GateRecord", ("node small_store.data_validation",), ("node small_store.quality_gate",)),
        ("earlier_records", "GateRecord", ("node small_store.data_validation",), ("node small_store.quality_gate",)),
        ("last_pushed_model", "Model", ("node small_store.trainer",)),
        ("previous_models", "InfraBlessing", ("node small_store.infra_validation",)),
        ("previous_models", "Model", ("node small_store.trainer",)),
        ("previous_models", "Model", ("node small_store.trainer",)),
        ("serving_model", "Model", ("node small_store.trainer",)),
        ("span_window", "Examples", ("node small_store.example_gen",)),
        ("vocabulary_memory", "VocabularyMemory", ("node small_store.transform",)),
    ]


def asking_for(output_name: str) -> tfx_pipeline.Pipeline:
    """A pipeline of two nodes that produce statistics, and a resolver that reads an output of all runs."""
    example_gen = CsvExampleGen(input_base="/data")
    one, two = (StatisticsGen(examples=example_gen.outputs["examples"]).with_id(name) for name in ("one", "two"))
    asked = Channel(type=standard_artifacts.ExampleStatistics, output_key=output_name)
    latest = Resolver(strategy_class=LatestArtifactStrategy, statistics=asked).with_id("latest")
    return tfx_pipeline.Pipeline("small", "/artifacts", components=[example_gen, one, two, latest])


def test_what_several_nodes_make_is_asked_for_in_each() -> None:
    found = questions(compile_ir(asking_for("statistics")))
    (asked,) = (contexts for (node, _, _), contexts in found.items() if node == "latest")
    assert asked == [("node small.one",), ("node small.two",)]


def test_an_output_that_no_node_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no node has an output `statistic` of the type ExampleStatistics"):
        compile_ir(asking_for("statistic"))


def test_each_node_has_a_context_of_its_own_in_each_run(tmp_path: Path) -> None:
    pipeline = create_pipeline(load_config(CONFIG), RunSettings("/data", Workspace.at(tmp_path), 1))
    for node in (n.pipeline_node for n in compile_pipeline(pipeline, "night-1").nodes):
        *_, last = node.contexts.contexts
        assert (last.type.name, last.name.field_value.string_value) == ("node_run", f"night-1.{node.node_info.id}")


def test_nothing_else_is_changed(tmp_path: Path) -> None:
    pipeline = create_pipeline(load_config(CONFIG), RunSettings("/data", Workspace.at(tmp_path), 1))
    ours, by_tfx = compile_ir(pipeline), compiler.Compiler().compile(pipeline)
    for ir in (ours, by_tfx):
        for node in ir.nodes:
            for of_input in node.pipeline_node.inputs.inputs.values():
                del of_input.channels[:]
            del node.pipeline_node.contexts.contexts[3:]
    assert ours == by_tfx
