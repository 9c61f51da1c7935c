"""Builds the pipeline, from log files to a pushed model. Runners only supply settings."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from tfx.components import (
    ExampleValidator,
    Tuner,
)
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types import Artifact, Channel, standard_artifacts

from components.artifact_types import GateRecord, VocabularyMemory
from components.data_validation.component import DataGate, DataValidation
from components.data_validation.findings import GATE
from components.data_validation.gates import AnomalyGate, RowGate
from components.evaluation.progressive import OptionalEvaluator, PreviousModels, ProgressiveEvaluator
from components.evaluation.tfma_config import make_evaluator
from components.fingerprint import code_fingerprint
from components.infra_validation.component import InfraValidator
from components.ingestion.component import ImpressionExampleGen
from components.late_labels.component import COMPLETED, LateLabels
from components.model_store.served_models import TRAINER
from components.push.component import Pusher, PusherInputs, PusherParameters
from components.quality_gate import judgement as quality
from components.quality_gate.component import QualityGate
from components.resolvers import (
    AnchorModel,
    EarlierMemory,
    EarlierRecords,
    LastPushedModel,
    LatestPrecedingArtifact,
    PrecedingSpan,
    ServingModel,
    SpanWindow,
    ValidatedModel,
)
from components.stateful_transform import StatefulTransform
from components.statistics.component import ColumnStatisticsGen
from components.trainer_component import RankingTrainer
from pipeline.beam_options import LOCAL_BEAM_ARGS
from pipeline.schema_file import schema_path
from pipeline.workspace import Workspace
from trainer.training.checkpoints import CHECKPOINT_ROOT_KEY
from transform.config import component_configs
from transform.config.config import Config
from transform.preprocessing import CODE_KEY, CONFIG_KEY

#: The gates that stop a span because of its data. A span that one of them read and did not pass is never a reference.
_GATES_ON_DATA = [AnomalyGate.get_class_type(), DataGate.get_class_type()]

EXAMPLE_GEN = "example_gen"
PRECEDING_SPAN = "preceding_span"
LATE_LABELS = "late_labels"
SCHEMA_GEN = "schema_gen"
TUNER = "tuner"
DATA_VALIDATION = "data_validation"
QUALITY_GATE = "quality_gate"
PROGRESSIVE_VALIDATION = "progressive_validation"

#: The nodes that some configs' pipelines have and others do not.
OPTIONAL_NODES = (PRECEDING_SPAN, LATE_LABELS, TUNER)

#: The functions that TFX's Transform, Trainer and Tuner call, as dotted paths.
PREPROCESSING_FN = "transform.preprocessing.preprocessing_fn"
RUN_FN = "trainer.run_fn.run_fn"
TUNER_FN = "trainer.tuner_fn.tuner_fn"


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The settings that a runner supplies.

    Attributes:
      data_root: The folder below which the config's sources lie.
      workspace: The folder for everything that the run writes.
      span: The span; None takes the latest.
      force_reason: Why a model is pushed although the gate on quality, or the push, refuses it; empty if it is not.
      accept_reason: Why findings of the gates on data do not stop the run; empty if they do. In a compiled pipeline, a
        runtime parameter.
    """

    data_root: str
    workspace: Workspace
    span: int | None = None
    force_reason: str = ""
    accept_reason: str | RuntimeParameter = ""


def create_pipeline(
    config: Config,
    settings: RunSettings,
    *,
    only_ingest: bool = False,
    span_parameter: RuntimeParameter | None = None,
    beam_args: Sequence[str] = LOCAL_BEAM_ARGS,
) -> tfx_pipeline.Pipeline:
    """Builds the pipeline.

    Args:
      config: The deployment.
      settings: The runner's settings.
      only_ingest: Whether to stop after ingestion, and the completion of the tail of the span before; used for the
        earlier spans of a window.
      span_parameter: The runtime parameter for the span of a compiled pipeline's runs; replaces `settings.span`.
      beam_args: Beam's options in the compiled pipeline, which TFX's own runners use. They are part of TFX's cache key,
        so `pipeline.runner.launch` leaves them as they are here and launches nodes with those of `config.beam`.

    Returns:
      A pipeline for any TFX runner; the runner supplies the connection to ML Metadata.
    """
    example_gen = ImpressionExampleGen(
        config=component_configs.for_ingestion(config),
        data_root=settings.data_root,
        span=span_parameter or settings.span,
        code_fingerprint=code_fingerprint(ImpressionExampleGen),
    ).with_id(EXAMPLE_GEN)
    late = _late_labels(config, example_gen.outputs["examples"])
    components = [example_gen, *late] if only_ingest else _whole_pipeline(config, settings, example_gen, late)
    return tfx_pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(settings.workspace.artifacts),
        components=components,
        enable_cache=True,
        beam_pipeline_args=list(beam_args),
    )


def _all_runs_channel(artifact_type: type[Artifact], output_name: str) -> Channel:
    """Returns a channel of all artifacts that the pipeline's runs produced as an output of this name and type."""
    return Channel(type=artifact_type, output_key=output_name)


def _all_models() -> Channel:
    return _all_runs_channel(standard_artifacts.Model, "model")


class _Data(NamedTuple):
    """The nodes that decide whether a span's data is fit to learn from, and what later nodes read of them."""

    nodes: list[BaseNode]
    schema: Channel
    pushed_model: Channel
    #: Nodes that learn run after these.
    gates: list[BaseNode]


class _Window(NamedTuple):
    """The resolvers of earlier spans, of their analysis and of their vocabularies."""

    span_window: Resolver
    analyzer_cache: Resolver
    vocabulary_memory: Resolver


class _Training(NamedTuple):
    """The nodes that make a candidate model."""

    nodes: list[BaseNode]
    model: Channel


def _whole_pipeline(
    config: Config, settings: RunSettings, example_gen: ImpressionExampleGen, late: list[BaseNode]
) -> list[BaseNode]:
    """Returns all nodes, each behind those that it reads from."""
    data = _data_gates(config, settings, example_gen)
    window = _window(config, example_gen.outputs["examples"], late)
    training = _training(config, settings, example_gen, data, window)
    previous_models, progressive_validation = _progressive_validation(config, example_gen.outputs["examples"], data)
    earlier_evaluation = progressive_validation.outputs["evaluation"]
    return [
        example_gen,
        *late,
        *data.nodes,
        previous_models,
        progressive_validation,
        *window,
        *training.nodes,
        *_model_gates_and_push(config, settings, example_gen, data, window, training.model, earlier_evaluation),
    ]


def _late_labels(config: Config, examples: Channel) -> list[BaseNode]:
    """Returns the nodes that complete the tail of the span before; none without `late_labels`."""
    if not config.sources.has_late_labels:
        return []
    preceding_span = Resolver(
        strategy_class=PrecedingSpan,
        examples=examples,
        history=_all_runs_channel(standard_artifacts.Examples, "examples"),
    ).with_id(PRECEDING_SPAN)
    late_labels = LateLabels(
        examples=examples,
        preceding=preceding_span.outputs["history"],
        config=component_configs.for_ingestion(config),
        code_fingerprint=code_fingerprint(LateLabels),
    ).with_id(LATE_LABELS)
    return [preceding_span, late_labels]


def _data_gates(config: Config, settings: RunSettings, example_gen: ImpressionExampleGen) -> _Data:
    examples = example_gen.outputs["examples"]
    row_gate = RowGate(
        examples=examples,
        quarantine=example_gen.outputs["quarantine"],
        accept_reason=settings.accept_reason,
        code_fingerprint=code_fingerprint(RowGate),
    ).with_id("row_gate")
    statistics_gen = ColumnStatisticsGen(examples=examples).with_id("statistics_gen")
    statistics_gen.add_upstream_node(row_gate)
    schema_gen = ImportSchemaGen(schema_file=str(schema_path(config, settings.workspace))).with_id(SCHEMA_GEN)
    schema_gen.add_upstream_node(example_gen)  # which begins the run, or begins it again: no node may come before it
    schema = schema_gen.outputs["schema"]
    example_validator = ExampleValidator(statistics=statistics_gen.outputs["statistics"], schema=schema).with_id(
        "example_validator"
    )
    anomaly_gate = AnomalyGate(
        anomalies=example_validator.outputs["anomalies"],
        accept_reason=settings.accept_reason,
        code_fingerprint=code_fingerprint(AnomalyGate),
    ).with_id("anomaly_gate")
    serving_root = str(settings.workspace.serving(config.name))
    pushed_model = Resolver(
        strategy_class=LastPushedModel,
        config={"serving_root": serving_root},
        examples=examples,
        model=_all_models(),
    ).with_id("last_pushed_model")
    earlier_records = Resolver(
        strategy_class=EarlierRecords,
        config={"gate": GATE, "num_spans": config.drift.reference_spans, "gates": _GATES_ON_DATA},
        examples=examples,
        records=_all_runs_channel(GateRecord, "record"),
    ).with_id("earlier_records")
    data_validation = DataValidation(
        examples=examples,
        quarantine=example_gen.outputs["quarantine"],
        serving_model=pushed_model.outputs["model"],
        earlier_records=earlier_records.outputs["records"],
        config=component_configs.for_data_validation(config),
        settings=config.drift,
        serving_root=serving_root,
        code_fingerprint=code_fingerprint(DataValidation),
    ).with_id(DATA_VALIDATION)
    data_validation.add_upstream_node(anomaly_gate)
    data_gate = DataGate(
        record=data_validation.outputs["record"],
        accept_reason=settings.accept_reason,
        code_fingerprint=code_fingerprint(DataGate),
    ).with_id("data_gate")
    nodes = [
        row_gate, statistics_gen, schema_gen, example_validator, anomaly_gate,
        pushed_model, earlier_records, data_validation, data_gate,
    ]  # fmt: skip
    return _Data(nodes, schema, pushed_model.outputs["model"], [anomaly_gate, data_gate])


def _progressive_validation(config: Config, examples: Channel, data: _Data) -> tuple[Resolver, ProgressiveEvaluator]:
    """Measures the last model, and the one before it, on a span that neither has seen."""
    previous_models = Resolver(
        strategy_class=PreviousModels,
        config={"features": sorted(config.spec.example_names)},
        examples=examples,
        model=_all_models(),
        baseline=_all_models(),
        blessing=_all_runs_channel(standard_artifacts.InfraBlessing, "blessing"),
    ).with_id("previous_models")
    progressive_validation = make_evaluator(
        ProgressiveEvaluator,
        config,
        examples,
        previous_models.outputs["model"],
        previous_models.outputs["baseline"],
        data.schema,
    ).with_id(PROGRESSIVE_VALIDATION)
    progressive_validation.add_upstream_nodes(data.gates)
    return previous_models, progressive_validation


def _window(config: Config, examples: Channel, late: list[BaseNode]) -> _Window:
    # A channel of all runs makes no node wait for this run's.
    completed = {"completed": _all_runs_channel(standard_artifacts.Examples, COMPLETED)} if late else {}
    span_window = Resolver(
        strategy_class=SpanWindow,
        config={
            "num_spans": config.ingestion.window_spans,
            "gates": _GATES_ON_DATA,
            "row_gate": RowGate.get_class_type(),
        },
        examples=examples,
        history=_all_runs_channel(standard_artifacts.Examples, "examples"),
        **completed,
    ).with_id("span_window")
    span_window.add_upstream_nodes(late)
    analyzer_cache = Resolver(
        strategy_class=LatestPrecedingArtifact,
        examples=examples,
        candidates=_all_runs_channel(standard_artifacts.TransformCache, "updated_analyzer_cache"),
    ).with_id("analyzer_cache")
    vocabulary_memory = Resolver(
        strategy_class=EarlierMemory,
        examples=examples,
        candidates=_all_runs_channel(VocabularyMemory, "updated_memory"),
    ).with_id("vocabulary_memory")
    return _Window(span_window, analyzer_cache, vocabulary_memory)


def _training(
    config: Config, settings: RunSettings, example_gen: ImpressionExampleGen, data: _Data, window: _Window
) -> _Training:
    transform = StatefulTransform(
        examples=window.span_window.outputs["examples"],
        schema=data.schema,
        preprocessing_fn=PREPROCESSING_FN,
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        analyzer_cache=window.analyzer_cache.outputs["candidates"],
        memory=window.vocabulary_memory.outputs["candidates"],
        custom_config={
            CONFIG_KEY: component_configs.for_transform(config).to_json(),
            CODE_KEY: code_fingerprint(StatefulTransform, PREPROCESSING_FN),
        },
    ).with_id("transform")
    transform.add_upstream_nodes(data.gates)
    to_train: dict[str, Any] = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": data.schema,
        "base_model": data.pushed_model,
        "train_args": trainer_pb2.TrainArgs(splits=["train"]),
        "eval_args": trainer_pb2.EvalArgs(splits=["eval"]),
    }
    checkpoints = {CHECKPOINT_ROOT_KEY: str(settings.workspace.checkpoints)}
    tuners = []
    if config.tuning is not None:
        custom_config = {
            CONFIG_KEY: component_configs.for_tuner(config).to_json(),
            **checkpoints,
            "code_fingerprint": code_fingerprint(TUNER_FN),
        }
        tuners = [Tuner(tuner_fn=TUNER_FN, custom_config=custom_config, **to_train).with_id(TUNER)]
    trainer = RankingTrainer(
        raw_examples=example_gen.outputs["examples"],
        catalog=example_gen.outputs["catalog"],
        run_fn=RUN_FN,
        custom_config={
            CONFIG_KEY: component_configs.for_trainer(config).to_json(),
            **checkpoints,
            "code_fingerprint": code_fingerprint(RankingTrainer, RUN_FN),
        },
        hyperparameters=tuners[0].outputs["best_hyperparameters"] if tuners else None,
        **to_train,
    ).with_id(TRAINER)
    return _Training([transform, *tuners, trainer], trainer.outputs["model"])


def _model_gates_and_push(
    config: Config,
    settings: RunSettings,
    example_gen: ImpressionExampleGen,
    data: _Data,
    window: _Window,
    candidate: Channel,
    earlier_evaluation: Channel,
) -> list[BaseNode]:
    """Decides whether the candidate model may serve, and pushes it.

    The serving model's scores are those of `earlier_evaluation`, where it has them.
    """
    examples, catalog = example_gen.outputs["examples"], example_gen.outputs["catalog"]
    serving_root = str(settings.workspace.serving(config.name))
    serving_model = Resolver(
        strategy_class=ServingModel,
        config={"serving_root": serving_root},
        candidate=candidate,
        model=_all_models(),
    ).with_id("serving_model")
    infra_validation = InfraValidator(
        model=candidate,
        baseline_model=serving_model.outputs["model"],
        examples=window.span_window.outputs["examples"],
        catalog=catalog,
        config=component_configs.for_infra_validation(config),
        code_fingerprint=code_fingerprint(InfraValidator),
    ).with_id("infra_validation")
    # The Evaluator runs a model in this process, which a bad one would end.
    validated_model = Resolver(
        strategy_class=ValidatedModel, model=candidate, blessing=infra_validation.outputs["blessing"]
    ).with_id("validated_model")
    evaluator = make_evaluator(
        OptionalEvaluator,
        config,
        examples,
        validated_model.outputs["model"],
        serving_model.outputs["model"],
        data.schema,
        earlier_evaluation,
    ).with_id("evaluator")
    quality_gate, resolvers = _quality_gate(
        config,
        serving_root,
        examples,
        candidate,
        validated_model.outputs["model"],
        serving_model.outputs["model"],
        evaluator.outputs["evaluation"],
    )
    push = Pusher(
        PusherInputs(
            model=candidate,
            baseline_model=serving_model.outputs["model"],
            evaluation=evaluator.outputs["evaluation"],
            quality_record=quality_gate.outputs["record"],
            model_blessing=quality_gate.outputs["blessing"],
            infra_blessing=infra_validation.outputs["blessing"],
            examples=window.span_window.outputs["examples"],
            catalog=catalog,
        ),
        PusherParameters(
            config=component_configs.for_push(config).to_json(),
            serving_root=serving_root,
            keep_versions=config.push.num_kept_versions,
            force_reason=settings.force_reason,
            code_fingerprint=code_fingerprint(
                Pusher, ImpressionExampleGen, PREPROCESSING_FN, TUNER_FN, RankingTrainer, RUN_FN
            ),
        ),
    ).with_id("push")
    return [serving_model, infra_validation, validated_model, evaluator, *resolvers, quality_gate, push]


def _quality_gate(
    config: Config,
    serving_root: str,
    examples: Channel,
    candidate: Channel,
    validated_model: Channel,
    serving_model: Channel,
    evaluation: Channel,
) -> tuple[QualityGate, list[Resolver]]:
    """Returns the gate that decides on a push from several spans, and the resolvers of its anchor and records."""
    anchor = Resolver(
        strategy_class=AnchorModel, config={"serving_root": serving_root}, candidate=candidate, model=_all_models()
    ).with_id("anchor_model")
    earlier = Resolver(
        strategy_class=EarlierRecords,
        config={"gate": quality.GATE, "num_spans": config.quality.pool_spans, "gates": _GATES_ON_DATA},
        examples=examples,
        records=_all_runs_channel(GateRecord, "record"),
    ).with_id("earlier_quality")
    trained_by = [
        component_configs.for_trainer(config).to_json(),
        code_fingerprint(RankingTrainer, RUN_FN, PREPROCESSING_FN),
    ]
    gate = QualityGate(
        model=validated_model,
        serving_model=serving_model,
        anchor_model=anchor.outputs["model"],
        evaluation=evaluation,
        examples=examples,
        records=earlier.outputs["records"],
        config_json=component_configs.for_quality_gate(config).to_json(),
        recipe=hashlib.sha256("".join(trained_by).encode()).hexdigest(),
        serving_root=serving_root,
        code_fingerprint=code_fingerprint(QualityGate),
    ).with_id(QUALITY_GATE)
    return gate, [anchor, earlier]
