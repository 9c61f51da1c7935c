"""The nodes that measure models, decide whether the candidate model may serve, and push it."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import Channel, standard_artifacts

from components.artifact_types import GateRecord
from components.evaluation.progressive import OptionalEvaluator, PreviousModels, ProgressiveEvaluator
from components.evaluation.tfma_config import make_evaluator
from components.fingerprint import code_fingerprint
from components.infra_validation.component import InfraValidator
from components.ingestion.component import ImpressionExampleGen
from components.push.component import Pusher
from components.quality_gate import judgement as quality
from components.quality_gate.component import QualityGate
from components.resolvers import AnchorModel, EarlierRecords, ServingModel, ValidatedModel
from components.trainer_component import RankingTrainer
from pipeline.nodes.data import GATES_ON_DATA, DataNodes, all_models, all_runs_channel
from pipeline.nodes.names import EVALUATOR, PREPROCESSING_FN, PROGRESSIVE_VALIDATION, QUALITY_GATE, RUN_FN, TUNER_FN
from pipeline.nodes.settings import NodeSettings
from pipeline.nodes.window import Window


def progressive_validation(settings: NodeSettings, data: DataNodes) -> tuple[Resolver, ProgressiveEvaluator]:
    """Measures the last model, and the one before it, on a span that neither has seen."""
    previous_models = Resolver(
        strategy_class=PreviousModels,
        config={"features": settings.features},
        examples=data.examples,
        model=all_models(),
        baseline=all_models(),
        blessing=all_runs_channel(standard_artifacts.InfraBlessing, "blessing"),
    ).with_id("previous_models")
    evaluator = make_evaluator(
        ProgressiveEvaluator,
        settings.quality,
        data.examples,
        previous_models.outputs["model"],
        previous_models.outputs["baseline"],
        data.schema,
    ).with_id(PROGRESSIVE_VALIDATION)
    evaluator.add_upstream_nodes(data.gates)
    return previous_models, evaluator


class _Models(NamedTuple):
    """The candidate model, and what it is compared with."""

    candidate: Channel
    serving: Channel
    #: The candidate model if the dry run let it through; else nothing.
    validated: Channel


def model_gates_and_push(
    settings: NodeSettings, data: DataNodes, window: Window, candidate: Channel, earlier_evaluation: Channel
) -> list[BaseNode]:
    """Returns the nodes that decide whether the candidate model may serve, and the one that pushes it.

    The baseline's scores are those of `earlier_evaluation`, where it has them.
    """
    serving_model = Resolver(
        strategy_class=ServingModel,
        config={"serving_root": settings.serving_root},
        candidate=candidate,
        model=all_models(),
    ).with_id("serving_model")
    serving, trained_on = serving_model.outputs["model"], window.span_window.outputs["examples"]
    infra_validation = InfraValidator(
        model=candidate,
        baseline_model=serving,
        examples=trained_on,
        catalog=data.catalog,
        config=settings.infra_validation,
        code_fingerprint=code_fingerprint(InfraValidator),
    ).with_id("infra_validation")
    blessing = infra_validation.outputs["blessing"]
    # The Evaluator runs a model in this process, which a bad one would end.
    validated_model = Resolver(strategy_class=ValidatedModel, model=candidate, blessing=blessing).with_id(
        "validated_model"
    )
    models = _Models(candidate, serving, validated_model.outputs["model"])
    evaluator = make_evaluator(
        OptionalEvaluator,
        settings.quality,
        data.examples,
        models.validated,
        serving,
        data.schema,
        earlier_evaluation,
    ).with_id(EVALUATOR)
    evaluation = evaluator.outputs["evaluation"]
    *resolvers, quality_gate = _quality_gate(settings, data.examples, models, evaluation)
    push = Pusher(
        model=candidate,
        baseline_model=serving,
        evaluation=evaluation,
        quality_record=quality_gate.outputs["record"],
        model_blessing=quality_gate.outputs["blessing"],
        infra_blessing=blessing,
        examples=trained_on,
        catalog=data.catalog,
        config=settings.push,
        serving_root=settings.serving_root,
        keep_versions=settings.num_kept_versions,
        force_reason=settings.run.force_reason,
        code_fingerprint=code_fingerprint(
            Pusher, ImpressionExampleGen, PREPROCESSING_FN, TUNER_FN, RankingTrainer, RUN_FN
        ),
    ).with_id("push")
    return [serving_model, infra_validation, validated_model, evaluator, *resolvers, quality_gate, push]


def _quality_gate(settings: NodeSettings, examples: Channel, models: _Models, evaluation: Channel) -> list[BaseNode]:
    """Returns the resolvers of the anchor and of earlier records, and the gate, which decides from several spans."""
    anchor = Resolver(
        strategy_class=AnchorModel,
        config={"serving_root": settings.serving_root},
        candidate=models.candidate,
        model=all_models(),
    ).with_id("anchor_model")
    earlier = Resolver(
        strategy_class=EarlierRecords,
        config={"gate": quality.GATE, "num_spans": settings.pool_spans, "gates": GATES_ON_DATA},
        examples=examples,
        records=all_runs_channel(GateRecord, "record"),
    ).with_id("earlier_quality")
    trained_by = settings.recipe + code_fingerprint(RankingTrainer, RUN_FN, PREPROCESSING_FN)
    gate = QualityGate(
        model=models.validated,
        serving_model=models.serving,
        anchor_model=anchor.outputs["model"],
        evaluation=evaluation,
        examples=examples,
        records=earlier.outputs["records"],
        config=settings.quality.to_json(),
        recipe=hashlib.sha256(trained_by.encode()).hexdigest(),
        serving_root=settings.serving_root,
        code_fingerprint=code_fingerprint(QualityGate),
    ).with_id(QUALITY_GATE)
    return [anchor, earlier, gate]
