"""Checks of what is relied on in TFX, Beam, TFMA and Kubeflow's SDK; each raises an error if it is gone."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
from kfp import dsl
from ml_metadata.proto import metadata_store_pb2
from tensorflow_data_validation.statistics.generators import basic_stats_generator
from tensorflow_data_validation.utils import top_k_uniques_stats_util
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2
from tfx import components as tfx_components
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as evaluator_executor
from tfx.components.example_validator import executor as example_validator
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.components.trainer import executor as trainer_executor
from tfx.components.transform import executor as transform_executor
from tfx.components.transform import executor_utils
from tfx.dsl.compiler import compiler
from tfx.dsl.compiler import constants as compiler_constants
from tfx.dsl.components.base import base_beam_executor, base_driver, base_executor, executor_spec
from tfx.dsl.components.common import resolver
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import base_driver as portable_driver
from tfx.orchestration.portable import cache_utils, data_types, launcher, outputs_utils, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import event_lib
from tfx.proto import trainer_pb2, transform_pb2
from tfx.proto.orchestration import driver_output_pb2, pipeline_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import dependency_utils, path_utils
from tfx_bsl import sketches

from components.artifact_types import Catalog, VocabularyMemory
from components.evaluation.component import ColumnEvaluator
from components.evaluation.metrics.calibration import calibration_buckets, calibration_sums
from components.execution_types import recorded_as
from components.stateful_transform import StatefulTransform
from components.statistics import states
from components.trainer_component import RankingTrainer
from components.uncached import UncachedDriver
from pipeline import errors, outages
from pipeline.beam_options import LOCAL_BEAM_ARGS
from pipeline.compile import ir as our_ir
from pipeline.compile import kubeflow
from pipeline.metadata.handle import Metadata
from pipeline.runner import launch
from pipeline.workspace import Workspace
from tests.canaries import tiny_pipeline as tiny


def check_component_bases() -> None:
    """A component is compiled with its executor, its parameters and its inputs."""
    assert executor_spec.ExecutorClassSpec(base_executor.BaseExecutor).executor_class is base_executor.BaseExecutor
    ir = our_ir.compile_ir(tiny.tiny_pipeline())
    producer, consumer = (node.pipeline_node for node in ir.nodes)
    assert (producer.node_info.id, consumer.node_info.id) == ("Producer", "Consumer")
    assert producer.parameters.parameters["number"].field_value.int_value == 7
    assert list(producer.outputs.outputs) == list(consumer.inputs.inputs) == ["schema"]
    deployment = runner_utils.extract_local_deployment_config(ir)
    spec = runner_utils.extract_executor_spec(deployment, "Producer")
    assert spec.class_path == "tests.canaries.tiny_pipeline._Executor"
    parameter = component_spec.ExecutionParameter(type=str)
    assert parameter.type is str
    assert component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True).optional


def check_beam_executor_spec() -> None:
    spec = executor_spec.BeamExecutorSpec(base_beam_executor.BaseBeamExecutor)
    assert spec.executor_class is base_beam_executor.BaseBeamExecutor
    assert spec.beam_pipeline_args == []


def check_custom_driver() -> None:
    """A driver is a component's `DRIVER_CLASS`, of the old base class; the launcher calls the new one's `run`."""
    assert issubclass(UncachedDriver, base_driver.BaseDriver)
    assert issubclass(UncachedDriver, portable_driver.BaseDriver)
    deployment = runner_utils.extract_local_deployment_config(our_ir.compile_ir(tiny.tiny_pipeline()))
    spec = runner_utils.extract_custom_driver_spec(deployment, "Producer")
    assert spec.class_path == "components.uncached.UncachedDriver"
    inspect.signature(portable_driver.BaseDriver).bind("handle")
    inspect.signature(portable_driver.BaseDriver.run).bind("self", execution_info="info")
    info = data_types.ExecutionInfo(pipeline_run_id="run-3", exec_properties={"span": 2}, output_dict={})
    output = UncachedDriver(Metadata(tiny.connection("/tiny"))).run(info)
    assert output.exec_properties["run"].string_value == "run-3"
    assert info.exec_properties == {"span": 2}


def check_driver_output() -> None:
    output = driver_output_pb2.DriverOutput()
    output.exec_properties["span"].int_value = 3
    output.output_artifacts["examples"].artifacts.add().custom_properties["span"].int_value = 3
    assert driver_output_pb2.DriverOutput.FromString(output.SerializeToString()) == output


def check_class_type() -> None:
    """The class method that `recorded_as` replaces gives a compiled node its type."""

    @recorded_as("canaries.Replaced")
    class Replaced(tiny.Producer):
        pass

    assert Replaced().type == "canaries.Replaced"
    ir = our_ir.compile_ir(tiny.tiny_pipeline())
    types_of = {n.pipeline_node.node_info.id: n.pipeline_node.node_info.type.name for n in ir.nodes}
    assert types_of == {"Producer": tiny.RECORDED, "Consumer": "tests.canaries.tiny_pipeline.Consumer"}
    assert resolver.Resolver.get_class_type() == "tfx.dsl.components.common.resolver.Resolver"


def check_exec_properties() -> None:
    """What is put into a component's `exec_properties` is compiled."""
    pipeline = tiny.tiny_pipeline()
    pipeline.components[0].exec_properties["code_fingerprint"] = "f00"
    producer = our_ir.compile_ir(pipeline).nodes[0].pipeline_node
    assert producer.parameters.parameters["code_fingerprint"].field_value.string_value == "f00"


def check_compiler() -> None:
    """An input from the same run is queried in the contexts of the pipeline, the run and the node."""
    ir = compiler.Compiler().compile(tiny.tiny_pipeline())
    (channel,) = ir.nodes[1].pipeline_node.inputs.inputs["schema"].channels
    assert [query.type.name for query in channel.context_queries] == ["pipeline", "pipeline_run", "node"]
    assert [query.name.field_value.string_value for query in channel.context_queries][::2] == ["tiny", "tiny.Producer"]
    assert (channel.producer_node_query.id, channel.output_key) == ("Producer", "schema")
    assert channel.artifact_query.type.name == "Schema"
    contexts = ir.nodes[1].pipeline_node.contexts.contexts
    assert [context.type.name for context in contexts] == ["pipeline", "pipeline_run", "node"]


def check_compiler_constants() -> None:
    assert compiler_constants.PIPELINE_CONTEXT_TYPE_NAME == "pipeline"
    assert compiler_constants.PIPELINE_RUN_CONTEXT_TYPE_NAME == "pipeline_run"
    assert compiler_constants.NODE_CONTEXT_TYPE_NAME == "node"
    assert compiler_constants.PIPELINE_RUN_ID_PARAMETER_NAME == "pipeline-run-id"


def check_pipeline_ir() -> None:
    """The parts of a compiled pipeline that are read or changed."""
    channel = pipeline_pb2.InputSpec.Channel()
    part = channel.context_queries.add().name.structural_runtime_parameter.parts.add().runtime_parameter
    part.name, part.type = "pipeline-run-id", pipeline_pb2.RuntimeParameter.STRING
    assert pipeline_pb2.InputSpec.Channel.FromString(channel.SerializeToString()) == channel
    node = pipeline_pb2.PipelineNode(upstream_nodes=["Producer"])
    node.contexts.contexts.add().type.name = "node_run"
    ir = pipeline_pb2.Pipeline()
    ir.nodes.add().pipeline_node.CopyFrom(node)
    assert ir.nodes[0].pipeline_node.upstream_nodes == ["Producer"]
    assert not pipeline_pb2.RunOptions().HasField("partial_run")


def check_runtime_parameters() -> None:
    """A runtime parameter is replaced by its value, also within a structural one."""
    ir = our_ir.compile_ir(tiny.tiny_pipeline())
    runtime_parameter_utils.substitute_runtime_parameter(ir, {"pipeline-run-id": "run-3"})
    names = [context.name.field_value.string_value for context in ir.nodes[0].pipeline_node.contexts.contexts]
    assert names == ["tiny", "run-3", "tiny.Producer", "run-3.Producer"]


def check_launcher() -> None:
    """A pipeline runs node by node; a node that is done in a run is not run again."""
    inspect.signature(launcher.Launcher).bind(
        pipeline_node=0,
        mlmd_connection=0,
        pipeline_info=0,
        pipeline_runtime_spec=0,
        executor_spec=0,
        custom_driver_spec=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        ir = launch.compile_pipeline(tiny.tiny_pipeline(folder), "run-3")
        first = [event for event in launch.run_nodes(ir, tiny.connection(folder)) if event.state != "running"]
        again = launch.launch_node(ir, "Consumer", tiny.connection(folder))
        with Metadata(tiny.connection(folder)) as handle:
            found = handle.store.get_executions_by_id([event.execution_id for event in first])
            types_by_id = {t.id: t.name for t in handle.store.get_execution_types()}
            inputs = handle.store.get_events_by_execution_ids([first[1].execution_id])
    assert [event.state for event in first] == ["done", "done"]
    assert (again.state, again.execution_id) == ("done", first[1].execution_id)
    assert types_by_id[found[0].type_id] == tiny.RECORDED
    assert [[step.key or step.index for step in event.path.steps] for event in inputs] == [["schema", 0]]


def check_beam_operator() -> None:
    """The launcher takes an operator for Beam's executors; its own executor spec, options included, is in the key."""
    inspect.signature(launcher.Launcher).bind(0, 0, 0, 0, custom_executor_operators={})
    assert "executor_spec.SerializeToString(" in inspect.getsource(cache_utils.get_cache_context)
    of_beam = executor_spec.BeamExecutorSpec(_BeamExecutor)
    of_beam.add_beam_pipeline_args(["--direct_num_workers=1"])
    encoded = of_beam.encode()
    kept = encoded.SerializeToString()
    operator = launch._beam_operator(("--runner=FnApiRunner",), encoded)
    assert launcher.DEFAULT_EXECUTOR_OPERATORS[type(encoded)] is type(operator)
    assert [each.value.string_value for each in operator.beam_pipeline_args] == ["--runner=FnApiRunner"]
    assert encoded.SerializeToString() == kept


def check_event() -> None:
    event = event_lib.generate_event(3, "schema", 2, 11, 12)  # 3: INPUT
    assert (event.type, event.artifact_id, event.execution_id) == (3, 11, 12)
    assert [step.WhichOneof("value") for step in event.path.steps] == ["key", "index"]


def check_output_folders() -> None:
    """The names of the folders of a node's outputs, of its executor and of its state."""
    ir = launch.compile_pipeline(tiny.tiny_pipeline(), "run-3")
    folders = outputs_utils.OutputsResolver(ir.nodes[0].pipeline_node, ir.pipeline_info, ir.runtime_spec)
    assert folders.generate_output_artifacts(41)["schema"][0].uri == "/tiny/artifacts/Producer/schema/41"
    executor = "/tiny/artifacts/Producer/.system/executor_execution/41/"
    assert folders.get_executor_output_uri(41).startswith(executor)
    with tempfile.TemporaryDirectory() as node:
        state = outputs_utils.get_stateful_working_directory(node, metadata_store_pb2.Execution())
    assert Path(state).parent == Path(node, ".system", "stateful_working_dir")


def check_local_runner() -> None:
    """`run` compiles a pipeline and passes it to `run_with_ir`."""
    passed: list[Any] = []

    class Recording(local_dag_runner.LocalDagRunner):  # type: ignore[misc]
        def run_with_ir(self, pipeline: Any, run_options: Any = None) -> None:
            passed.append((pipeline, run_options))

    Recording().run(tiny.tiny_pipeline())
    ((ir, options),) = passed
    assert [node.pipeline_node.node_info.id for node in ir.nodes] == ["Producer", "Consumer"]
    assert options is None
    inspect.signature(local_dag_runner.LocalDagRunner.run_with_ir).bind("self", ir, options)


def check_executor_context() -> None:
    context = base_executor.BaseExecutor.Context(pipeline_run_id="run-3")

    class Executor(base_executor.BaseExecutor):  # type: ignore[misc]
        def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
            raise NotImplementedError

    assert Executor(context)._context.pipeline_run_id == "run-3"
    assert Executor()._context is None


class _BeamExecutor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        raise NotImplementedError


_IN_MEMORY = ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"]


def check_beam_pipeline() -> None:
    """An executor makes Beam's pipeline from the runner's options, and has a temporary folder of its execution."""
    executor = _BeamExecutor(
        _BeamExecutor.Context(beam_pipeline_args=list(LOCAL_BEAM_ARGS), tmp_dir="/runs/7/.temp", unique_id="7")
    )
    assert executor._beam_pipeline_args[: len(LOCAL_BEAM_ARGS)] == list(LOCAL_BEAM_ARGS)  # labels of telemetry follow
    assert executor._get_tmp_dir() == "/runs/7/.temp/7/"
    made = executor._make_beam_pipeline()
    assert isinstance(made, beam.Pipeline)
    assert type(made.runner).__name__ == "FnApiRunner"


def check_no_packaging() -> None:
    """If Beam's options name an image, TFX does not package itself."""
    assert dependency_utils.make_beam_dependency_flags(list(LOCAL_BEAM_ARGS)) == list(LOCAL_BEAM_ARGS)


def check_beam_errors() -> None:
    """Beam appends the step to an error's text."""

    def fail(_: Any) -> None:
        raise ValueError("a price below 0")

    with pytest.raises(ValueError, match="a price below 0") as found, beam.Pipeline(argv=_IN_MEMORY) as pipeline:
        _ = pipeline | beam.Create([1]) | "Prices" >> beam.Map(fail)
    assert "while running" in str(found.value)
    assert errors.first_line(found.value) == "ValueError: a price below 0"


def check_job_server_errors() -> None:
    """Beam's client passes on gRPC's error of a missing job server; `tests/e2e/test_prism.py` has Prism's messages."""
    args = ["--runner=PortableRunner", "--job_endpoint=localhost:1", "--job_server_timeout=0"]
    args += ["--environment_type=EXTERNAL", "--environment_config=localhost:1"]
    with pytest.raises(Exception, match="") as found, beam.Pipeline(argv=args) as pipeline:  # noqa: PT011
        _ = pipeline | beam.Create([1])
    reported = outages.outage(found.value, Workspace.at("workspace")) or ""
    assert reported.startswith("Beam's job server (`--job_endpoint`) did not answer within `--job_server_timeout`, ")


def _examples() -> types.Artifact:
    examples = standard_artifacts.Examples()
    examples.uri = "/examples"
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    return examples


def check_artifact_utils() -> None:
    """A split's folder, and the single artifact of an input."""
    examples = _examples()
    assert artifact_utils.decode_split_names(examples.split_names) == ["train", "eval"]
    assert artifact_utils.get_single_instance([examples]) is examples
    assert artifact_utils.get_single_uri([examples]) == "/examples"
    assert artifact_utils.get_split_uri([examples], "eval") == "/examples/Split-eval"
    assert artifact_utils.get_split_uris([examples, examples], "eval") == ["/examples/Split-eval"] * 2
    assert [a.uri for a in artifact_utils.replicate_artifacts(examples, 2)] == ["/examples/0", "/examples/1"]
    made = artifact_utils.deserialize_artifact(examples.artifact_type, examples.mlmd_artifact)
    assert (type(made), made.uri) == (standard_artifacts.Examples, "/examples")


def check_serving_model_path() -> None:
    assert path_utils.serving_model_path("/model") == "/model/Format-Serving"


def check_evaluator_constants() -> None:
    assert constants.ARTIFACT_PROPERTY_BLESSED_KEY == "blessed"
    assert (constants.BLESSED_FILE_NAME, constants.NOT_BLESSED_FILE_NAME) == ("BLESSED", "NOT_BLESSED")


def _check_do(executor: type) -> None:
    inspect.signature(executor.Do).bind("self", input_dict={}, output_dict={}, exec_properties={})  # type: ignore[attr-defined]
    assert list(inspect.signature(executor.Do).parameters)[1:] == ["input_dict", "output_dict", "exec_properties"]  # type: ignore[attr-defined]


def check_evaluator_executor() -> None:
    """The Evaluator's executor is called with artifacts and properties."""
    _check_do(evaluator_executor.Executor)


def check_evaluator_spec() -> None:
    """The Evaluator with an earlier evaluation has the exec properties of TFX's, and the code's fingerprint."""
    common = {
        "examples": _channel(standard_artifacts.Examples),
        "model": _channel(standard_artifacts.Model),
        "baseline_model": _channel(standard_artifacts.Model),
        "schema": _channel(standard_artifacts.Schema),
        "eval_config": config_pb2.EvalConfig(metrics_specs=[config_pb2.MetricsSpec(query_key="request_id")]),
    }
    stock = tfx_components.Evaluator(example_splits=["eval"], **common)
    evaluations = _channel(standard_artifacts.ModelEvaluation)
    ours = ColumnEvaluator(code_fingerprint="f00", earlier_evaluation=evaluations, **common)
    given = {name: value for name, value in stock.exec_properties.items() if value not in {None, "null"}}
    assert ours.exec_properties == {**given, "code_fingerprint": "f00"}
    assert set(ours.inputs) == {*stock.inputs, "earlier_evaluation"}
    assert set(ours.outputs) == set(stock.outputs)


def check_calibration_plot() -> None:
    """A calibration plot is a list of buckets with their bounds and sums, of the rows whose weight is above 0."""
    sums = calibration_sums(np.array([1.0, 0.0, 1.0]), np.array([2.0, 1.0, 0.0]), np.array([0.25, 1.0, 0.5]))
    buckets = calibration_buckets(sums)
    found = [bucket for bucket in buckets.buckets if bucket.num_weighted_examples.value]
    assert type(buckets) is metrics_for_slice_pb2.CalibrationHistogramBuckets
    assert [(b.lower_threshold_inclusive, b.total_weighted_label.value) for b in found] == [(0.25, 2.0), (1.0, 0.0)]
    assert [bucket.total_weighted_refined_prediction.value for bucket in found] == [0.5, 1.0]


def check_metrics_validator() -> None:
    """A slice's metrics keep the thresholds of an EvalConfig, or not."""
    metric = config_pb2.MetricConfig(class_name="ExampleCount")
    metric.threshold.value_threshold.lower_bound.value = 3
    config = config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(label_key="label")], metrics_specs=[config_pb2.MetricsSpec(metrics=[metric])]
    )
    for count, is_kept in ((2.0, False), (4.0, True)):
        key = tfma.metrics.MetricKey("example_count")
        assert metrics_validator.validate_metrics(((), {key: count}), config).validation_ok is is_kept


def check_eval_config() -> None:
    """TFMA's configuration as protos; `tfma.EvalConfig` is in its documents but not in its package."""
    config = config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(signature_name="s", label_key="l", example_weight_key="w")],
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=["country"])],
        metrics_specs=[
            config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name="C", module="m", config="{}")])
        ],
    )
    config.metrics_specs[0].query_key = "request_id"
    config.options.include_default_metrics.value = False
    assert config_pb2.EvalConfig.FromString(config.SerializeToString()) == config
    assert "EvalConfig" not in Path(inspect.getfile(tfma)).with_name("sdk.py").read_text(encoding="utf-8")


def check_statistics_gen() -> None:
    """StatisticsGen's executor writes this file for each split."""
    _check_do(statistics_gen.Executor)
    assert statistics_gen.DEFAULT_FILE_NAME == "FeatureStats.pb"


def check_basic_statistics() -> None:
    """A record batch has statistics without a pipeline; what they lack of texts is made from the texts' counts."""
    generator = basic_stats_generator.BasicStatsGenerator()
    batch = pa.RecordBatch.from_pydict({"country": pa.array([[b"us"], None], pa.large_list(pa.large_binary()))})
    found = generator.add_input(generator.create_accumulator(), batch)
    dataset = generator.extract_output(generator.compact(found))
    (feature,) = dataset.features
    assert (dataset.num_examples, feature.string_stats.common_stats.num_missing, feature.string_stats.unique) == (
        2,
        1,
        0,
    )
    counts = [top_k_uniques_stats_util.FeatureValueCount(b"us", 1)]
    of_counts = top_k_uniques_stats_util.make_feature_stats_proto_topk_uniques(
        tfdv.FeaturePath(["country"]), 20, 1000, 1, counts
    )
    assert (of_counts.string_stats.unique, of_counts.string_stats.top_values[0].value) == (1, "us")


def check_distinct_sketch() -> None:
    """A sketch estimates the number of distinct values; of a few, it is exact. Sketches are stored, and merged."""
    sketch, other = sketches.KmvSketch(16), sketches.KmvSketch(16)
    sketch.AddValues(pa.array([b"a", b"b", b"a"], pa.large_binary()))
    other.AddValues(pa.array([b"b", b"c"], pa.large_binary()))
    assert sketch.Estimate() == 2
    sketch.Merge(sketches.KmvSketch.Deserialize(other.Serialize()))
    assert sketch.Estimate() == 3


def check_statistics_state() -> None:
    """An accumulator of TFDV's is of these modules' classes; as a state, it is that before."""
    generator = basic_stats_generator.BasicStatsGenerator()
    columns = {"price": [[1.5], None, [2.0]], "tags": [[b"a", b"b"], [b"c"], None]}
    batch = pa.record_batch({
        name: pa.array(values, pa.large_list(pa.float32() if name == "price" else pa.large_binary()))
        for name, values in columns.items()
    })  # fmt: skip
    found = generator.compact(generator.add_input(generator.create_accumulator(), batch))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "state")
        states.write(states.State(found, {}), path)
        merged = states.read_merged(generator, {"examples.gz": path}, max_values=1).basic
    assert generator.extract_output(merged) == generator.extract_output(found)


def check_example_validator() -> None:
    assert example_validator.DEFAULT_FILE_NAME == "SchemaDiff.pb"


def _channel(kind: type) -> types.Channel:
    return types.Channel(type=kind)


def check_transform() -> None:
    """Transform's spec and executor; its output of examples has one artifact for each of its input's."""
    _check_do(transform_executor.Executor)
    assert standard_component_specs.TransformSpec.PARAMETERS["custom_config"].type is str
    ours = StatefulTransform(
        examples=_channel(standard_artifacts.Examples),
        schema=_channel(standard_artifacts.Schema),
        analyzer_cache=_channel(standard_artifacts.TransformCache),
        memory=_channel(VocabularyMemory),
        preprocessing_fn="a.b",
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train"]),
        custom_config={"b": 1, "a": 2},
    )
    assert ours.exec_properties["custom_config"] == '{"a": 2, "b": 1}'
    stock = tfx_components.Transform(
        examples=_channel(standard_artifacts.Examples),
        schema=_channel(standard_artifacts.Schema),
        preprocessing_fn="a.b",
        custom_config={"b": 1, "a": 2},
    )
    assert stock.exec_properties["custom_config"] == ours.exec_properties["custom_config"]


def check_transformed_examples() -> None:
    """Of several Examples, Transform's executor makes several outputs, by an exchange of the list in `output_dict`."""
    outputs = {"transformed_examples": [_examples()]}
    executor_utils.MatchNumberOfTransformedExamplesArtifacts({"examples": [_examples(), _examples()]}, outputs)
    assert [artifact.uri for artifact in outputs["transformed_examples"]] == ["/examples/0", "/examples/1"]
    source = inspect.getsource(transform_executor.Executor.Do)
    assert "executor_utils.MatchNumberOfTransformedExamplesArtifacts(" in source


def check_trainer() -> None:
    _check_do(trainer_executor.GenericExecutor)
    assert standard_component_specs.TrainerSpec.PARAMETERS["custom_config"].type is str
    made = RankingTrainer(
        examples=_channel(standard_artifacts.Examples),
        raw_examples=_channel(standard_artifacts.Examples),
        catalog=_channel(Catalog),
        transform_graph=_channel(standard_artifacts.TransformGraph),
        schema=_channel(standard_artifacts.Schema),
        base_model=_channel(standard_artifacts.Model),
        hyperparameters=None,
        run_fn="a.b",
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config={"b": 1},
    )
    assert json.loads(made.exec_properties["custom_config"]) == {"b": 1}


def check_kubeflow_step() -> None:
    """Kubeflow's SDK names a step by its function's `__name__`, and reads the parameters from its annotations."""
    step = kubeflow._step(("data_gate",), "image")
    assert isinstance(step, dsl.base_component.BaseComponent)
    assert step.name == "data-gate"
    assert sorted(step.component_spec.inputs) == ["compiled", "data", "run_id", "scheduled", "span", "workspace"]
    assert list(step.component_spec.outputs) == ["report"]
