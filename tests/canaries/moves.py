"""Faked moves of other packages: what an upgrade could do to the parts that the project relies on.

Each is applied in the process by a monkeypatch, and the canary of the part must then fail.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import ml_metadata
import pytest
import tensorflow as tf
import tf_keras
import uvicorn
from apache_beam.runners.portability import job_server
from apache_beam.runners.portability.fn_api_runner import execution, fn_runner, worker_handlers
from apache_beam.runners.worker import worker_pool_main
from kfp import dsl
from ml_metadata.proto import metadata_store_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import wrap_function
from tensorflow_data_validation.statistics.generators import basic_stats_generator
from tensorflow_data_validation.utils import top_k_uniques_stats_util
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2
from tensorflow_transform import analyzers, annotators, graph_tools, impl_helper, tf2_utils, tf_utils
from tensorflow_transform.tf_metadata import metadata_io, schema_utils
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as evaluator_executor
from tfx.components.example_validator import executor as example_validator
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.components.trainer import executor as trainer_executor
from tfx.components.transform import executor as transform_executor
from tfx.components.transform import executor_utils
from tfx.dsl.compiler import compiler
from tfx.dsl.compiler import constants as compiler_constants
from tfx.dsl.components.base import (
    base_beam_executor,
    base_component,
    base_driver,
    base_executor,
    base_node,
    executor_spec,
)
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import base_driver as portable_driver
from tfx.orchestration.portable import (
    beam_executor_operator,
    cache_utils,
    data_types,
    launcher,
    outputs_utils,
    runtime_parameter_utils,
)
from tfx.orchestration.portable.mlmd import event_lib, execution_lib
from tfx.proto.orchestration import driver_output_pb2, executable_spec_pb2, pipeline_pb2
from tfx.types import artifact_utils, component_spec, standard_component_specs
from tfx.utils import dependency_utils, path_utils
from tfx_bsl import sketches
from tfx_bsl.coders import example_coder
from uvicorn.protocols.http import h11_impl

from serving.model_server.engine import tf_library
from tests.canaries import metadata_checks, tensorflow_checks

Move = Callable[[pytest.MonkeyPatch], None]


def gone(owner: Any, name: str) -> Move:
    """An attribute that is no longer there."""
    return lambda patch: patch.delattr(owner, name)


def now(owner: Any, name: str, value: Any) -> Move:
    """An attribute that is now something else."""
    return lambda patch: patch.setattr(owner, name, value)


def _other_do(self: Any, inputs: Any, outputs: Any, properties: Any) -> None:
    """An executor's `Do` with other parameters."""


class _Named:
    """Has its state under other names than before."""

    def __init__(self, given: Any = None) -> None:
        self.given = given


def _one_context_less(patch: pytest.MonkeyPatch) -> None:
    compile_all = compiler.Compiler.compile

    def compile_less(self: Any, pipeline: Any) -> Any:
        ir = compile_all(self, pipeline)
        for node in ir.nodes[1:]:
            for found in node.pipeline_node.inputs.inputs.values():
                del found.channels[0].context_queries[-1]
        return ir

    patch.setattr(compiler.Compiler, "compile", compile_less)


def _query_by_list(handle: Any, contexts: Any) -> Any:
    ids = ", ".join(str(context.id) for context in contexts)
    return handle.store.get_executions(ml_metadata.ListOptions(filter_query=f"contexts.id IN ({ids})"))


def _no_step_in_the_path(kind: int, key: str, index: int, artifact_id: int, execution_id: int) -> Any:
    return metadata_store_pb2.Event(type=kind, artifact_id=artifact_id, execution_id=execution_id)


def _step_first(_: Any, *__: Any) -> Any:
    raise ValueError("step Prices: a price below 0")


def _no_connection(_: Any) -> Any:
    raise ConnectionError("no job server")


def _out_of_quota(*_: Any, **__: Any) -> Any:
    raise tf.errors.ResourceExhaustedError(None, None, "out of quota")


def _other_init_op(patch: pytest.MonkeyPatch) -> None:
    save = tf.saved_model.save

    def renamed(module: Any, folder: str, **how: Any) -> None:
        save(module, folder, **how)
        file = Path(folder, "saved_model.pb")
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        signatures = saved.meta_graphs[0].signature_def
        signatures["__initialize"].CopyFrom(signatures.pop("__saved_model_init_op"))
        file.write_bytes(saved.SerializeToString())

    patch.setattr(tf.saved_model, "save", renamed)


def _one_name_for_all_steps(patch: pytest.MonkeyPatch) -> None:
    component = dsl.container_component

    def unnamed(step: Any) -> Any:
        step.__name__ = "step"
        return component(step)

    patch.setattr(dsl, "container_component", unnamed)


async def _startup_without_sockets(self: Any) -> None:
    """uvicorn's `startup` without its parameter."""


def _without(spec: Any, key: str) -> dict[str, Any]:
    return {name: parameter for name, parameter in spec.PARAMETERS.items() if name != key}


#: By canary, moves that it must see.
MOVES: dict[str, list[Move]] = {
    "check_component_bases": [
        gone(executor_spec, "ExecutorClassSpec"),
        gone(base_executor, "BaseExecutor"),
        gone(component_spec, "ExecutionParameter"),
        now(runner_utils, "extract_executor_spec", lambda deployment, node: None),
    ],
    "check_beam_executor_spec": [gone(executor_spec, "BeamExecutorSpec")],
    "check_executor_context": [now(base_executor.BaseExecutor, "__init__", _Named.__init__)],
    "check_beam_pipeline": [gone(base_beam_executor.BaseBeamExecutor, "_make_beam_pipeline")],
    "check_custom_driver": [
        now(base_driver, "BaseDriver", _Named),
        now(portable_driver.BaseDriver, "run", lambda self, info: None),
        now(data_types, "ExecutionInfo", _Named),
    ],
    "check_driver_output": [now(driver_output_pb2, "DriverOutput", pipeline_pb2.RunOptions)],
    "check_class_type": [now(base_node.BaseNode, "type", property(lambda self: type(self).__name__))],
    "check_exec_properties": [
        now(base_component.BaseComponent, "exec_properties", property(lambda self: dict(self.spec.exec_properties)))
    ],
    "check_artifact_utils": [
        gone(artifact_utils, "decode_split_names"),
        now(artifact_utils, "get_split_uri", lambda artifacts, split: f"{artifacts[0].uri}/{split}"),
        now(artifact_utils, "deserialize_artifact", lambda artifact: artifact),
        now(artifact_utils, "replicate_artifacts", lambda artifact, number: [artifact] * number),
    ],
    "check_serving_model_path": [now(path_utils, "serving_model_path", lambda uri: f"{uri}/serving")],
    "check_evaluator_constants": [now(constants, "BLESSED_FILE_NAME", "blessed")],
    "check_evaluator_executor": [now(evaluator_executor.Executor, "Do", _other_do)],
    "check_evaluator_spec": [
        now(
            standard_component_specs.EvaluatorSpec,
            "PARAMETERS",
            _without(standard_component_specs.EvaluatorSpec, "example_splits"),
        ),
    ],
    "check_calibration_plot": [gone(metrics_for_slice_pb2, "CalibrationHistogramBuckets")],
    "check_metrics_validator": [
        now(metrics_validator, "validate_metrics", lambda metrics, config: types.SimpleNamespace(validation_ok=True))
    ],
    "check_eval_config": [now(config_pb2, "EvalConfig", config_pb2.ModelSpec)],
    "check_statistics_gen": [now(statistics_gen, "DEFAULT_FILE_NAME", "stats_tfrecord")],
    "check_basic_statistics": [
        gone(basic_stats_generator, "BasicStatsGenerator"),
        gone(top_k_uniques_stats_util, "make_feature_stats_proto_topk_uniques"),
    ],
    "check_distinct_sketch": [gone(sketches, "KmvSketch"), gone(sketches.KmvSketch, "Deserialize")],
    "check_statistics_state": [now(basic_stats_generator._BasicAcctype, "__module__", "elsewhere")],
    "check_example_validator": [now(example_validator, "DEFAULT_FILE_NAME", "anomalies.pbtxt")],
    "check_transform": [
        now(transform_executor.Executor, "Do", _other_do),
        now(
            standard_component_specs.TransformSpec,
            "PARAMETERS",
            _without(standard_component_specs.TransformSpec, "custom_config"),
        ),
    ],
    "check_transformed_examples": [
        now(executor_utils, "MatchNumberOfTransformedExamplesArtifacts", lambda inputs, outputs: None),
        now(transform_executor.Executor, "Do", _other_do),
    ],
    "check_no_packaging": [
        now(dependency_utils, "make_beam_dependency_flags", lambda flags: [*flags, "--extra_package=tfx"])
    ],
    "check_trainer": [
        now(trainer_executor.GenericExecutor, "Do", _other_do),
        now(
            standard_component_specs.TrainerSpec,
            "PARAMETERS",
            _without(standard_component_specs.TrainerSpec, "custom_config"),
        ),
    ],
    "check_beam_errors": [now(beam.Pipeline, "run", _step_first)],
    "check_runner": [
        now(fn_runner.FnApiRunner, "run_stages", lambda self, context, stages: fn_runner.RunnerResult("DONE", {})),
        now(fn_runner.FnApiRunner, "_execute_bundle", None),
        now(worker_handlers.WorkerHandlerManager, "close_all", lambda self: None),
    ],
    "check_bundle_manager": [
        now(fn_runner.FnApiRunner, "_execute_bundle", lambda self, *arguments: None),
        now(fn_runner.BundleManager, "process_bundle", lambda self: None),
        gone(execution.BundleContextManager, "worker_handlers"),
    ],
    "check_worker_handlers": [
        now(worker_handlers.BeamFnControlServicer, "_DONE_MARKER", object()),
        gone(worker_handlers, "GrpcStateServicer"),
        now(worker_handlers.WorkerHandler, "close", lambda self: None),
    ],
    "check_worker_pool": [now(worker_pool_main, "kill_process_gracefully", lambda process: process.kill())],
    "check_job_server_errors": [now(job_server.ExternalJobServer, "start", _no_connection)],
    "check_kubeflow_step": [_one_name_for_all_steps],
    "check_compiler": [_one_context_less],
    "check_compiler_constants": [now(compiler_constants, "NODE_CONTEXT_TYPE_NAME", "pipeline_node")],
    "check_pipeline_ir": [gone(pipeline_pb2, "RuntimeParameter")],
    "check_runtime_parameters": [now(runtime_parameter_utils, "substitute_runtime_parameter", lambda ir, values: None)],
    "check_launcher": [now(launcher, "Launcher", _Named), gone(runner_utils, "extract_custom_driver_spec")],
    "check_beam_operator": [
        now(cache_utils, "get_cache_context", _Named),
        now(launcher, "Launcher", _Named),
        gone(executable_spec_pb2, "BeamExecutableSpec"),
        now(beam_executor_operator, "BeamExecutorOperator", _Named),
    ],
    "check_event": [now(event_lib, "generate_event", _no_step_in_the_path)],
    "check_output_folders": [
        now(outputs_utils, "_SYSTEM", ".tfx"),
        now(outputs_utils.OutputsResolver, "generate_output_artifacts", lambda self, execution_id: {}),
    ],
    "check_local_runner": [
        now(local_dag_runner.LocalDagRunner, "run_with_ir", lambda self, ir: None),
        now(local_dag_runner.LocalDagRunner, "run", lambda self, pipeline: None),
    ],
    "check_handle": [now(metadata.Metadata, "__init__", _Named.__init__)],
    "check_filter_query": [now(execution_lib, "get_executions_associated_with_all_contexts", _query_by_list)],
    "check_no_filter_queries": [
        now(ml_metadata.MetadataStore, "get_executions", lambda self, list_options=None, extra_options=None: [])
    ],
    "check_call_method": [now(ml_metadata.MetadataStore, "_call", lambda self, *_: None)],
    "check_index_names": [now(metadata_checks, "_library", lambda: b"CREATE INDEX artifact_strings")],
    "check_connection_messages": [now(metadata_checks, "_library", lambda: b"PostgreSQL: cannot connect")],
    "check_disk_full_messages": [now(tf.io.gfile, "GFile", _out_of_quota)],
    "check_pruned": [gone(wrap_function.WrappedFunction, "prune"), gone(wrap_function, "VariableHolder")],
    "check_strip": [
        now(tf2_utils, "strip_and_get_tensors_and_control_dependencies", lambda tensors: (list(tensors), None))
    ],
    "check_feature_spec": [now(schema_utils, "schema_as_feature_spec", lambda schema: {})],
    "check_legacy_optimizers": [
        gone(tf_keras.optimizers.legacy.Optimizer, "_create_all_weights"),
        gone(tf_keras.optimizers.legacy.Optimizer, "_fallback_apply_state"),
        gone(tf_keras.optimizers.legacy.Optimizer, "_resource_scatter_update"),
        now(tf_keras.optimizers.legacy.Adam, "_resource_apply_sparse", lambda self, grad, var: None),
    ],
    "check_failed_trial": [
        lambda patch: patch.setattr(
            "keras_tuner.src.engine.base_tuner.traceback", types.SimpleNamespace(format_exc=lambda: "failed")
        )
    ],
    "check_analyzers": [
        gone(analyzers, "QuantilesCombiner"),
        gone(tf_utils, "fetch_vocabulary_reserved_tokens"),
        now(graph_tools, "get_analyzers_fingerprint", lambda graph, inputs: {}),
        now(annotators, "get_asset_annotations", lambda graph: {}),
    ],
    "check_saved_transform": [
        gone(impl_helper, "METADATA_DIR_NAME"),
        gone(metadata_io, "write_metadata"),
    ],
    "check_sketch": [now(sketches, "QuantilesSketch", lambda *arguments: object())],
    "check_example_decoder": [gone(example_coder, "ExamplesToRecordBatchDecoder")],
    "check_saved_model": [_other_init_op],
    "check_c_library": [now(tf_library, "_SIGNATURES", {**tf_library._SIGNATURES, "TF_TensorFromProtoV2": (None, ())})],
    "check_strings": [now(tf_library.Tensor, "raw", property(lambda self: bytes(32 * self.shape[0])))],
    "check_protos_alone": [
        now(
            tensorflow_checks,
            "_PROTOS_ALONE",
            "import sys\nsys.modules['tensorflow.python'] = sys\n" + tensorflow_checks._PROTOS_ALONE,
        )
    ],
    "check_import_without_keras": [
        now(tensorflow_checks, "_init_of_tensorflow", lambda: b"import keras.src.optimizers")
    ],
    "check_h11_protocol": [
        gone(h11_impl.H11Protocol, "timeout_keep_alive_handler"),
        now(h11_impl.H11Protocol, "data_received", lambda self, chunk: None),
        now(h11_impl, "RequestResponseCycle", _Named),
    ],
    "check_server": [
        now(uvicorn.Server, "startup", _startup_without_sockets),
        gone(uvicorn.Server, "capture_signals"),
        gone(uvicorn.Server, "shutdown"),
    ],
}
