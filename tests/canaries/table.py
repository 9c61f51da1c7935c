"""The table of private uses: what the project relies on in other packages that their public APIs do not promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.canaries import beam_checks as of_beam
from tests.canaries import metadata_checks as of_metadata
from tests.canaries import tensorflow_checks as of_tensorflow
from tests.canaries import tfx_checks as of_tfx
from tests.canaries import transform_checks as of_transform
from tests.canaries import uvicorn_checks as of_uvicorn

#: By package, its name in comments.
TITLES = {
    "apache-beam": "Beam",
    "keras-tuner": "KerasTuner",
    "kfp": "kfp",
    "ml-metadata": "ML Metadata",
    "tensorflow": "TensorFlow",
    "tensorflow-data-validation": "TFDV",
    "tensorflow-model-analysis": "TFMA",
    "tensorflow-transform": "tf.Transform",
    "tf-keras": "tf-keras",
    "tfx": "TFX",
    "tfx-bsl": "tfx-bsl",
    "uvicorn": "uvicorn",
}


class PrivateUse(NamedTuple):
    """A private use.

    Attributes:
      package: The package as `requirements.lock` names it.
      version: The version that the code relies on, which is the one in `requirements.lock`.
      upstream: The module or class, or in words what is not a name.
      names: The names in it, as `tests.canaries.scan` finds them, without `upstream`; an attribute begins with a dot.
      places: The project's files that use it; each names the package and the version in a comment or docstring.
      why: Why there is no public way.
      check: The canary.
      marks: What each place has in its text, if reading found the use, which the scan cannot.
    """

    package: str
    version: str
    upstream: str
    names: tuple[str, ...]
    places: tuple[str, ...]
    why: str
    check: Callable[[], None]
    marks: tuple[str, ...] = ()

    @property
    def found_as(self) -> set[str]:
        """The names as the scan reports them."""
        return {
            name if name.startswith(".") else f"{self.upstream}.{name}" if name else self.upstream
            for name in self.names
        }


TFX, MLMD, TF, TFT = (
    ("tfx", "1.21.0"),
    ("ml-metadata", "1.21.0"),
    ("tensorflow", "2.21.0"),
    ("tensorflow-transform", "1.21.0"),
)
TFMA, KERAS, UVICORN = ("tensorflow-model-analysis", "0.52.0"), ("tf-keras", "2.21.0"), ("uvicorn", "0.54.0")

BEAM = ("apache-beam", "2.77.0")

_OWN_COMPONENT = "a component with an executor of its own: `tfx.v1` has only function components, without drivers"
_OWN_RUNNER = "nodes are run one by one, with the errors of each; `tfx.v1` runs whole pipelines only"
_BEAM_OPTIONS = "Beam's options for a node that are no part of the key of TFX's cache, as they change no output"
_OWN_ANALYSIS = "what tf.Transform defines is computed by vectorized code, with the same results"
_STATISTICS_STATE = "the classes of TFDV's accumulators, which are stored in files by `pickle` alone"
_OWN_STATISTICS = "TFDV's statistics without its Beam pipeline, which is its public way to them"
_ARTIFACTS = "the folders of splits and models are TFX's; `tfx.v1` has the artifacts, not their layout"

PRIVATE_USES = (
    PrivateUse(
        *TFX,
        "tfx.dsl.components.base.executor_spec",
        ("ExecutorClassSpec",),
        (
            "components/data_validation/component.py",
            "components/infra_validation/component.py",
            "components/push/component.py",
            "components/quality_gate/component.py",
            "components/trainer_component.py",
        ),
        _OWN_COMPONENT,
        of_tfx.check_component_bases,
    ),
    PrivateUse(
        *TFX,
        "tfx.dsl.components.base.executor_spec",
        ("BeamExecutorSpec",),
        (
            "components/evaluation/component.py",
            "components/evaluation/progressive.py",
            "components/ingestion/component.py",
            "components/late_labels/component.py",
            "components/stateful_transform.py",
            "components/statistics/component.py",
        ),
        _OWN_COMPONENT,
        of_tfx.check_beam_executor_spec,
    ),
    PrivateUse(
        *TFX,
        "tfx.dsl.components.base.base_executor",
        ("BaseExecutor",),
        (
            "components/data_validation/component.py",
            "components/infra_validation/component.py",
            "components/push/component.py",
            "components/quality_gate/component.py",
        ),
        _OWN_COMPONENT,
        of_tfx.check_component_bases,
    ),
    PrivateUse(
        *TFX,
        "tfx.types.component_spec",
        ("ChannelParameter", "ComponentSpec", "ExecutionParameter"),
        (
            "components/data_validation/component.py",
            "components/evaluation/component.py",
            "components/infra_validation/component.py",
            "components/late_labels/component.py",
            "components/ingestion/component.py",
            "components/push/component.py",
            "components/quality_gate/component.py",
            "components/stateful_transform.py",
            "components/trainer_component.py",
        ),
        _OWN_COMPONENT,
        of_tfx.check_component_bases,
    ),
    PrivateUse(
        *TFX,
        "tfx.dsl.components.base.base_executor.BaseExecutor",
        ("._context",),
        ("components/push/component.py",),
        "the run's id in a version's manifest; an executor has no public way to it",
        of_tfx.check_executor_context,
    ),
    PrivateUse(
        *TFX,
        "tfx.dsl.components.base.base_beam_executor",
        ("BaseBeamExecutor", "._beam_pipeline_args", "._get_tmp_dir", "._make_beam_pipeline"),
        (
            "benchmarks/scale_ingestion.py",
            "benchmarks/scale_statistics.py",
            "benchmarks/scale_transform.py",
            "components/evaluation/executor.py",
            "components/examples/file_work.py",
            "components/ingestion/component.py",
            "components/late_labels/component.py",
            "components/statistics/component.py",
            "components/transform_executor/executor.py",
        ),
        "executors of components that have Beam's options, and a scratch folder that the execution owns",
        of_tfx.check_beam_pipeline,
    ),
    PrivateUse(
        *TFX,
        "tfx.dsl.components.base.base_driver",
        ("BaseDriver",),
        ("components/uncached.py",),
        "a driver that changes the key of TFX's cache; custom drivers are not documented",
        of_tfx.check_custom_driver,
    ),
    PrivateUse(
        *TFX,
        "tfx.orchestration.portable.base_driver",
        ("BaseDriver",),
        ("components/uncached.py",),
        "as above; the launcher calls this class's `run`",
        of_tfx.check_custom_driver,
    ),
    PrivateUse(
        *TFX,
        "tfx.orchestration.portable.data_types",
        ("ExecutionInfo",),
        ("components/infra_validation/driver.py", "components/ingestion/component.py", "components/uncached.py"),
        "what a driver is given",
        of_tfx.check_custom_driver,
    ),
    PrivateUse(
        *TFX,
        "tfx.proto.orchestration.driver_output_pb2",
        ("DriverOutput",),
        ("components/infra_validation/driver.py", "components/ingestion/component.py", "components/uncached.py"),
        "what a driver returns",
        of_tfx.check_driver_output,
    ),
    PrivateUse(
        *TFX,
        "`get_class_type` of a component",
        (),
        ("components/execution_types.py",),
        "an execution's type stays when its class is renamed",
        of_tfx.check_class_type,
        ("component.get_class_type =",),
    ),
    PrivateUse(
        *TFX,
        "a component's `exec_properties`, changed after it was made",
        (),
        ("components/statistics/component.py",),
        "an edit of the code computes again; StatisticsGen has no parameter for it",
        of_tfx.check_exec_properties,
        (".exec_properties[",),
    ),
    PrivateUse(
        *TFX,
        "tfx.types.artifact_utils",
        (
            "decode_split_names",
            "deserialize_artifact",
            "encode_split_names",
            "get_single_instance",
            "get_single_uri",
            "get_split_uri",
            "get_split_uris",
            "replicate_artifacts",
        ),
        (
            "benchmarks/scale_evaluation.py",
            "components/data_validation/gates.py",
            "components/data_validation/reading.py",
            "components/evaluation/executor.py",
            "components/infra_validation/component.py",
            "components/infra_validation/requests.py",
            "components/ingestion/component.py",
            "components/late_labels/component.py",
            "components/model_store/served_models.py",
            "components/push/component.py",
            "components/push/new_manifest.py",
            "components/quality_gate/component.py",
            "components/row_sample.py",
            "components/statistics/component.py",
            "components/trainer_component.py",
            "components/transform_executor/executor.py",
        ),
        _ARTIFACTS,
        of_tfx.check_artifact_utils,
    ),
    PrivateUse(
        *TFX,
        "a split's folder, `Split-NAME`",
        (),
        ("components/data_validation/gates.py", "components/ingestion/component.py", "pipeline/trial/rows.py"),
        _ARTIFACTS,
        of_tfx.check_artifact_utils,
        ("Split-",),
    ),
    PrivateUse(
        *TFX,
        "tfx.utils.path_utils",
        ("serving_model_path",),
        (
            "components/data_validation/component.py",
            "components/evaluation/executor.py",
            "components/infra_validation/component.py",
            "components/infra_validation/model_process.py",
            "components/model_store/served_models.py",
            "components/push/component.py",
            "components/push/new_manifest.py",
            "components/quality_gate/component.py",
            "components/resolvers.py",
        ),
        _ARTIFACTS,
        of_tfx.check_serving_model_path,
    ),
    PrivateUse(
        *TFX,
        "tfx.components.evaluator.constants",
        ("ARTIFACT_PROPERTY_BLESSED_KEY", "BLESSED_FILE_NAME", "NOT_BLESSED_FILE_NAME"),
        ("components/quality_gate/component.py",),
        "the quality gate blesses in the Evaluator's place",
        of_tfx.check_evaluator_constants,
    ),
    PrivateUse(
        *TFX,
        "tfx.components.evaluator.executor",
        ("Executor",),
        ("benchmarks/scale_evaluation.py",),
        "the cost of an evaluation, beside that of the project's executor",
        of_tfx.check_evaluator_executor,
    ),
    PrivateUse(
        *TFX,
        "tfx.types.standard_component_specs",
        ("EvaluatorSpec",),
        ("components/evaluation/component.py",),
        "an Evaluator with an earlier evaluation, whose scores are not computed again",
        of_tfx.check_evaluator_spec,
    ),
    PrivateUse(
        *TFX,
        "tfx.components.example_validator.executor",
        ("DEFAULT_FILE_NAME",),
        ("components/data_validation/gates.py",),
        "the file of the ExampleValidator's anomalies",
        of_tfx.check_example_validator,
    ),
    PrivateUse(
        *TFX,
        "tfx.components.statistics_gen.executor",
        ("DEFAULT_FILE_NAME", "Executor"),
        ("benchmarks/scale_statistics.py", "components/statistics/component.py"),
        "StatisticsGen's file, with statistics from columns; TFX's executor is measured beside the project's",
        of_tfx.check_statistics_gen,
    ),
    PrivateUse(
        "tensorflow-data-validation",
        "1.21.0",
        "tensorflow_data_validation.statistics.generators.basic_stats_generator",
        ("BasicStatsGenerator",),
        ("components/statistics/computing.py", "components/statistics/states.py"),
        _OWN_STATISTICS,
        of_tfx.check_basic_statistics,
    ),
    PrivateUse(
        "tensorflow-data-validation",
        "1.21.0",
        "tensorflow_data_validation.utils.variance_util",
        ("MeanVarAccumulator",),
        ("components/statistics/states.py",),
        _STATISTICS_STATE,
        of_tfx.check_statistics_state,
    ),
    PrivateUse(
        "tfx-bsl",
        "1.21.0",
        "tfx_bsl.sketches",
        ("QuantilesSketch",),
        ("components/statistics/states.py",),
        _STATISTICS_STATE,
        of_tfx.check_statistics_state,
    ),
    PrivateUse(
        "tensorflow-data-validation",
        "1.21.0",
        "tensorflow_data_validation.utils.top_k_uniques_stats_util",
        ("FeatureValueCount", "make_feature_stats_proto_topk_uniques"),
        ("components/statistics/computing.py",),
        _OWN_STATISTICS,
        of_tfx.check_basic_statistics,
    ),
    PrivateUse(
        "tfx-bsl",
        "1.21.0",
        "tfx_bsl.sketches",
        ("KmvSketch",),
        ("components/statistics/value_counts.py",),
        _OWN_STATISTICS,
        of_tfx.check_distinct_sketch,
    ),
    PrivateUse(
        *TFX,
        "tfx.components.trainer.executor",
        ("GenericExecutor",),
        ("components/trainer_component.py",),
        "a Trainer with two more inputs",
        of_tfx.check_trainer,
    ),
    PrivateUse(
        *TFX,
        "tfx.types.standard_component_specs",
        ("TrainerSpec",),
        ("components/trainer_component.py",),
        "a Trainer with two more inputs",
        of_tfx.check_trainer,
    ),
    PrivateUse(
        *TFX,
        "tfx.components.transform.executor",
        ("Executor",),
        ("benchmarks/scale_transform.py",),
        "TFX's executor is measured beside the project's; in the tests it is the oracle",
        of_tfx.check_transform,
    ),
    PrivateUse(
        *TFX,
        "tfx.types.standard_component_specs",
        ("TransformSpec",),
        ("components/stateful_transform.py",),
        "a Transform with the vocabularies' memory",
        of_tfx.check_transform,
    ),
    PrivateUse(
        *TFX,
        "several outputs of Transform for several Examples, by an exchange in `output_dict`",
        (),
        ("components/transform_executor/executor.py",),
        "each span's transformed examples are an artifact of their own",
        of_tfx.check_transformed_examples,
        ('output_dict["transformed_examples"] = artifact_utils.replicate_artifacts(',),
    ),
    PrivateUse(
        *TFX,
        "no package of TFX for Beam's workers if an image is named",
        (),
        ("pipeline/beam_options.py",),
        "packaging takes seconds in each component; there is no option against it",
        of_tfx.check_no_packaging,
        ('"--sdk_container_image=none"',),
    ),
    PrivateUse(
        *TFX,
        "tfx.dsl.compiler.compiler",
        ("Compiler",),
        ("pipeline/compile/ir.py",),
        _OWN_RUNNER,
        of_tfx.check_compiler,
    ),
    PrivateUse(
        *TFX,
        "tfx.dsl.compiler.constants",
        ("NODE_CONTEXT_TYPE_NAME", "PIPELINE_CONTEXT_TYPE_NAME", "PIPELINE_RUN_CONTEXT_TYPE_NAME"),
        ("pipeline/compile/ir.py",),
        "queries of ML Metadata whose cost does not grow",
        of_tfx.check_compiler_constants,
    ),
    PrivateUse(
        *TFX,
        "tfx.dsl.compiler.constants",
        ("PIPELINE_RUN_ID_PARAMETER_NAME",),
        ("pipeline/compile/compiled.py", "pipeline/compile/ir.py", "pipeline/runner/launch.py"),
        _OWN_RUNNER,
        of_tfx.check_compiler_constants,
    ),
    PrivateUse(
        *TFX,
        "tfx.proto.orchestration.pipeline_pb2",
        ("InputSpec", "Pipeline", "PipelineNode", "RunOptions", "RuntimeParameter"),
        (
            "pipeline/compile/compiled.py",
            "pipeline/compile/ir.py",
            "pipeline/local_runner.py",
            "pipeline/runner/launch.py",
        ),
        _OWN_RUNNER,
        of_tfx.check_pipeline_ir,
    ),
    PrivateUse(
        *TFX,
        "tfx.orchestration.portable.runtime_parameter_utils",
        ("substitute_runtime_parameter",),
        ("pipeline/compile/compiled.py", "pipeline/runner/launch.py"),
        _OWN_RUNNER,
        of_tfx.check_runtime_parameters,
    ),
    PrivateUse(
        *TFX,
        "tfx.orchestration.portable.launcher",
        ("Launcher",),
        ("pipeline/runner/launch.py",),
        _OWN_RUNNER,
        of_tfx.check_launcher,
    ),
    PrivateUse(
        *TFX,
        "tfx.orchestration.portable.beam_executor_operator",
        ("BeamExecutorOperator",),
        ("pipeline/runner/launch.py",),
        _BEAM_OPTIONS,
        of_tfx.check_beam_operator,
    ),
    PrivateUse(
        *TFX,
        "tfx.proto.orchestration.executable_spec_pb2",
        ("BeamExecutableSpec",),
        ("pipeline/runner/launch.py",),
        _BEAM_OPTIONS,
        of_tfx.check_beam_operator,
    ),
    PrivateUse(
        *TFX,
        "tfx.orchestration.local.runner_utils",
        ("extract_custom_driver_spec", "extract_executor_spec", "extract_local_deployment_config"),
        ("pipeline/runner/launch.py",),
        _OWN_RUNNER,
        of_tfx.check_launcher,
    ),
    PrivateUse(
        *TFX,
        "tfx.orchestration.portable.mlmd.event_lib",
        ("generate_event",),
        ("pipeline/runner/launch.py",),
        "TFX leaves out a retried node's inputs, on which lineage depends",
        of_tfx.check_event,
    ),
    PrivateUse(
        *TFX,
        "the folders of a node's outputs, its executor and its state",
        (),
        ("pipeline/claim/lock.py",),
        "what a killed execution has written is removed",
        of_tfx.check_output_folders,
        (".system/executor_execution/", ".system/stateful_working_dir/"),
    ),
    PrivateUse(
        *TFX,
        "the folder of an output, which ends with the execution's id",
        (),
        ("pipeline/runner/lost_metadata.py",),
        "a new database must not give an id again that has a folder",
        of_tfx.check_output_folders,
        ('artifacts.glob("*/*/*")',),
    ),
    PrivateUse(
        *TFX,
        "`LocalDagRunner.run_with_ir`",
        (),
        ("pipeline/local_runner.py",),
        "`tfx run create` with the contexts of `pipeline/compile/ir.py`",
        of_tfx.check_local_runner,
        ("def run_with_ir(",),
    ),
    PrivateUse(
        *TFX,
        "tfx.orchestration.metadata",
        ("Metadata", "._connection_config", "._store"),
        ("components/uncached.py", "pipeline/metadata/handle.py"),
        "the launcher's handle to ML Metadata, with the repaired store",
        of_metadata.check_handle,
    ),
    PrivateUse(
        *TFX,
        "the filter query for the executions in several contexts",
        (),
        ("pipeline/metadata/store.py",),
        "TFX asks what ML Metadata no longer answers",
        of_metadata.check_filter_query,
        ("_IN_CONTEXTS = re.compile(",),
    ),
    PrivateUse(
        *MLMD,
        "the refusal of filter queries",
        (),
        ("pipeline/metadata/store.py",),
        "once it ends, the repair can go",
        of_metadata.check_no_filter_queries,
        ("no longer supports filter queries",),
    ),
    PrivateUse(
        *MLMD,
        "ml_metadata.MetadataStore",
        ("._call_method",),
        ("pipeline/metadata/store.py",),
        "on PostgreSQL, strings with backslashes and the order of results are repaired in one place",
        of_metadata.check_call_method,
    ),
    PrivateUse(
        *MLMD,
        "the names of the indexes on PostgreSQL",
        (),
        ("pipeline/metadata/handle.py",),
        "indexes that refuse long values are dropped",
        of_metadata.check_index_names,
        ("_INDEXES_ON_VALUES = (",),
    ),
    PrivateUse(
        *MLMD,
        "messages about a database that is away, and about a full disk",
        (),
        ("pipeline/outages.py",),
        "its errors have no code for an outage",
        of_metadata.check_connection_messages,
        ("_NO_METADATA = re.compile(",),
    ),
    PrivateUse(
        *TF,
        "messages about a full disk",
        (),
        ("pipeline/outages.py",),
        "Beam passes errors on as text",
        of_metadata.check_disk_full_messages,
        ("_DISK_FULL = (",),
    ),
    PrivateUse(
        "apache-beam",
        "2.77.0",
        "the step's name at the end of an error's text",
        (),
        ("pipeline/errors.py",),
        "an error is shown as one sentence",
        of_tfx.check_beam_errors,
        ("_BEAM_STEP = re.compile(",),
    ),
    PrivateUse(
        *BEAM,
        "apache_beam.runners.portability.fn_api_runner.FnApiRunner",
        ("._execute_bundle", "._num_workers", "._grpc_server"),
        ("pipeline/beam_workers/runner.py",),
        "workers that are forked, or of several pools, at services on one address; Beam has one address for all",
        of_beam.check_runner,
    ),
    PrivateUse(
        *BEAM,
        "apache_beam.runners.portability.fn_api_runner.fn_runner.BundleManager",
        ("._get_bundle_manager", "._worker_handlers", "._progress_frequency", "._cache_token_generator"),
        ("pipeline/beam_workers/dealing.py", "pipeline/beam_workers/runner.py"),
        "a worker takes the next part of a stage's elements when it is done with one; Beam's runner deals all before",
        of_beam.check_bundle_manager,
    ),
    PrivateUse(
        *BEAM,
        "the handler of a worker",
        (),
        ("pipeline/beam_workers/runner.py",),
        "Beam's own handler of external workers waits for a lost one without end",
        of_beam.check_worker_handlers,
        ("worker_handlers.WorkerHandler)",),
    ),
    PrivateUse(
        *BEAM,
        "what workers call",
        (),
        ("pipeline/beam_workers/services.py",),
        "Beam's own services listen on all addresses",
        of_beam.check_worker_handlers,
        ("worker_handlers.ControlConnection)", "GrpcStateServicer(", "worker_handlers.BasicLoggingService)"),
    ),
    PrivateUse(
        *BEAM,
        "apache_beam.runners.worker.worker_pool_main.BeamFnExternalWorkerPoolServicer",
        ("._worker_processes",),
        ("pipeline/beam_workers/pool.py",),
        "a pool's workers are forked: Beam's own starts a Python for each, and ends those of this table",
        of_beam.check_worker_pool,
    ),
    PrivateUse(
        "apache-beam",
        "2.77.0",
        "errors of a job server that is away, and Prism's messages about a worker that ended",
        (),
        ("pipeline/outages.py",),
        "a job that lost its worker has no state of its own",
        of_tfx.check_job_server_errors,
        ("_LOST_WORKER = re.compile(",),
    ),
    PrivateUse(
        *TFMA,
        "tensorflow_model_analysis.proto.config_pb2",
        ("EvalConfig", "MetricConfig", "MetricsSpec", "ModelSpec", "SlicingSpec"),
        (
            "components/evaluation/executor.py",
            "components/evaluation/plan.py",
            "components/evaluation/row_metrics.py",
            "components/evaluation/tfma_config.py",
        ),
        "the documented `tfma.EvalConfig` is not there until TFX puts it there",
        of_tfx.check_eval_config,
    ),
    PrivateUse(
        *TFMA,
        "tensorflow_model_analysis.proto.metrics_for_slice_pb2",
        ("CalibrationHistogramBuckets",),
        ("components/evaluation/metrics/calibration.py",),
        "a calibration plot is this message; TFMA makes it only with its own combiner, row by row",
        of_tfx.check_calibration_plot,
    ),
    PrivateUse(
        *TFMA,
        "tensorflow_model_analysis.evaluators.metrics_validator",
        ("validate_metrics",),
        ("components/evaluation/tfma_output.py",),
        "the validation's result stays TFMA's; TFMA makes it only behind its own evaluator",
        of_tfx.check_metrics_validator,
    ),
    PrivateUse(
        "kfp",
        "2.16.1",
        "a step's name, which is its function's `__name__`",
        (),
        ("pipeline/compile/kubeflow.py",),
        "one function makes the steps of all nodes",
        of_tfx.check_kubeflow_step,
        ("step.__name__ =",),
    ),
    PrivateUse(
        *TF,
        "tensorflow.python.eager.wrap_function",
        ("VariableHolder", "WrappedFunction"),
        ("trainer/transform_output/graph.py",),
        "a saved function is reduced to some of its outputs, without table lookups that are not needed",
        of_tensorflow.check_pruned,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.tf2_utils",
        ("strip_and_get_tensors_and_control_dependencies",),
        ("trainer/transform_output/graph.py",),
        "as above",
        of_tensorflow.check_strip,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.analyzer_nodes",
        (
            "ExtractCombineMergeOutputs",
            "TENSOR_REPLACEMENTS",
            "TensorSource",
            "VocabularyCount",
            "VocabularyMerge",
            "VocabularyOrderAndWrite",
            "VocabularyPrune",
        ),
        ("components/transform_executor/traced_graph.py",),
        _OWN_ANALYSIS,
        of_transform.check_analyzers,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.analyzers",
        ("QuantilesCombiner", "WeightedMeanAndVarCombiner"),
        ("components/transform_executor/states.py", "components/transform_executor/traced_graph.py"),
        _OWN_ANALYSIS,
        of_transform.check_analyzers,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.tf_utils",
        ("fetch_vocabulary_reserved_tokens",),
        ("components/transform_executor/traced_graph.py",),
        _OWN_ANALYSIS,
        of_transform.check_analyzers,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.impl_helper",
        ("trace_preprocessing_function",),
        ("components/transform_executor/traced_graph.py",),
        _OWN_ANALYSIS,
        of_transform.check_analyzers,
    ),
    PrivateUse(
        *TFT,
        "the stand-in of a token in a vocabulary without tokens",
        (),
        ("components/transform_executor/token_counts.py",),
        _OWN_ANALYSIS,
        of_transform.check_analyzers,
        ("EMPTY_VOCABULARY =",),
    ),
    PrivateUse(
        "tfx-bsl",
        "1.21.0",
        "tfx_bsl.sketches",
        ("QuantilesSketch",),
        ("components/transform_executor/states.py",),
        _OWN_ANALYSIS,
        of_transform.check_sketch,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.graph_tools",
        ("get_analyzers_fingerprint",),
        ("components/transform_executor/output.py",),
        _OWN_ANALYSIS,
        of_transform.check_analyzers,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.annotators",
        ("get_asset_annotations",),
        ("components/transform_executor/output.py",),
        _OWN_ANALYSIS,
        of_transform.check_analyzers,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.impl_helper",
        ("METADATA_DIR_NAME", "trace_and_write_v2_saved_model"),
        ("components/transform_executor/output.py",),
        _OWN_ANALYSIS,
        of_transform.check_saved_transform,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.tf_metadata.metadata_io",
        ("read_metadata", "write_metadata"),
        ("components/transform_executor/output.py",),
        _OWN_ANALYSIS,
        of_transform.check_saved_transform,
    ),
    PrivateUse(
        *TFT,
        "tensorflow_transform.tf_metadata.schema_utils",
        ("schema_as_feature_spec",),
        ("components/transform_executor/given.py", "trainer/signatures.py"),
        "examples and requests are parsed by the schema; TFX's own examples use this function",
        of_tensorflow.check_feature_spec,
    ),
    PrivateUse(
        *KERAS,
        "tf_keras.optimizers.legacy.Optimizer",
        (
            "._create_all_weights",
            "._create_slots",
            "._fallback_apply_state",
            "._resource_apply_sparse",
            "._resource_scatter_add",
            "._resource_scatter_update",
        ),
        ("trainer/optimizers.py",),
        "a step updates only the batch's rows, and a warm start fills slots before the first step",
        of_tensorflow.check_legacy_optimizers,
    ),
    PrivateUse(
        "keras-tuner",
        "1.4.8",
        "a failed trial's message",
        (),
        ("trainer/tuner_fn.py",),
        "a search without a result says why",
        of_tensorflow.check_failed_trial,
        (".message.splitlines()",),
    ),
    PrivateUse(
        "tfx-bsl",
        "1.21.0",
        "tfx_bsl.coders.example_coder",
        ("ExamplesToRecordBatchDecoder",),
        (
            "components/data_validation/reading.py",
            "components/ingestion/formats/tfrecord.py",
            "components/statistics/decoding.py",
            "pipeline/log_export/logged_candidates.py",
        ),
        "examples are read into columns without a Beam pipeline",
        of_tensorflow.check_example_decoder,
    ),
    PrivateUse(
        *TF,
        "tensorflow.core.protobuf.saved_model_pb2",
        ("SavedModel",),
        ("components/evaluation/scoring/scoring_graph.py", "components/push/warmup.py", "serving/dry_run/loading.py"),
        "a SavedModel's signatures and assets are read without loading it",
        of_tensorflow.check_saved_model,
    ),
    PrivateUse(
        *TF,
        "`__saved_model_init_op` among a SavedModel's signatures",
        (),
        (
            "components/evaluation/scoring/scoring_graph.py",
            "components/push/warmup.py",
            "serving/model_server/engine/servable.py",
        ),
        "it is no signature that a client can call, but what fills a model's tables",
        of_tensorflow.check_saved_model,
        ("__saved_model_init_op",),
    ),
    PrivateUse(
        *TF,
        "ctypes.CDLL",
        ("",),
        ("serving/model_server/engine/tf_library.py",),
        "the model server loads and runs models without TensorFlow's Python code",
        of_tensorflow.check_c_library,
    ),
    PrivateUse(
        *TF,
        "the layout of strings in a tensor",
        (),
        ("serving/model_server/engine/servable.py",),
        "a call of the library for each string takes too long",
        of_tensorflow.check_strings,
        ("_STRING_BYTES = 24",),
    ),
    PrivateUse(
        *TF,
        "sys.modules =",
        ("",),
        ("serving/model_server/protos.py",),
        "the model server imports TensorFlow's protos without TensorFlow",
        of_tensorflow.check_protos_alone,
    ),
    PrivateUse(
        *TF,
        "sys.modules =",
        ("",),
        ("serving/dry_run/__main__.py",),
        "a model that needs Keras must not load where the server has none",
        of_tensorflow.check_import_without_keras,
    ),
    PrivateUse(
        *UVICORN,
        "uvicorn.protocols.http.h11_impl",
        ("H11Protocol",),
        ("serving/model_server/guard/http_connection.py",),
        "uvicorn has no option for the number of connections, for slow requests or for small chunks",
        of_uvicorn.check_h11_protocol,
    ),
    PrivateUse(
        *UVICORN,
        "`Server.startup`, `shutdown` and `capture_signals`, and the attributes that they set",
        (),
        ("serving/model_server/protocol/rest_server.py",),
        "uvicorn has no option for the time of a TLS handshake, and none for requests on their way when it stops",
        of_uvicorn.check_server,
        ("class RestServer(uvicorn.Server)", "async def startup(", "async def shutdown(", "def capture_signals("),
    ),
)

CHECKS = {use.check.__name__: use.check for use in PRIVATE_USES}

_HEAD = """# Private uses

The project relies on parts of other packages that those packages do not promise to keep: names that are not in a public
API, private attributes, messages and layouts. This page lists them all. Each has a canary, a test that fails when an
upgrade moves it and names the places to look at. How to add one is in
[Contributing](../contributing.md#private-uses).

A package's public API is what its documents say: of TFX, what `tfx.v1` exports (by whichever path it is imported, as
`tfx.v1` itself loads 1,700 modules more); of TFDV, TFMA, tf.Transform and tfx-bsl, what their packages export; of all
others, names without an underscore.

`tests/canaries/test_private_uses.py` finds private uses in the code and compares them with this table;
`python -m tests.canaries --write` writes this page from `tests/canaries/table.py`.
"""


def page() -> str:
    """The page of the documentation."""
    lines = [_HEAD, "| upstream | relied on as of | place | why | canary |", "| --- | --- | --- | --- | --- |"]
    for use in PRIVATE_USES:
        named = [name for name in use.names if name]
        upstream = use.upstream if "`" in use.upstream or " " in use.upstream.rstrip(" =") else f"`{use.upstream}`"
        what = f"{upstream}: {', '.join(f'`{name}`' for name in named)}" if named else upstream
        places = ", ".join(f"`{place}`" for place in use.places)
        version = f"{TITLES[use.package]} {use.version}"
        lines.append(f"| {what} | {version} | {places} | {use.why} | `{use.check.__name__}` |")
    return "\n".join(lines) + "\n"
