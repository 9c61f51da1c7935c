"""Builds the pipeline, from log files to a pushed model. Runners only supply settings."""

from __future__ import annotations

from collections.abc import Sequence

from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.data_types import RuntimeParameter

from components.ingestion.component import ImpressionExampleGen
from pipeline.beam_options import LOCAL_BEAM_ARGS
from pipeline.nodes.data import data_gates, ingestion
from pipeline.nodes.judging import model_gates_and_push, progressive_validation
from pipeline.nodes.settings import NodeSettings, RunSettings, derive_settings
from pipeline.nodes.training import training
from pipeline.nodes.window import window
from transform.config.config import Config


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
    given = derive_settings(config, settings, span_parameter)
    example_gen, late = ingestion(given)
    components = [example_gen, *late] if only_ingest else _whole_pipeline(given, example_gen, late)
    return tfx_pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(settings.workspace.artifacts),
        components=components,
        enable_cache=True,
        beam_pipeline_args=list(beam_args),
    )


def _whole_pipeline(settings: NodeSettings, example_gen: ImpressionExampleGen, late: list[BaseNode]) -> list[BaseNode]:
    """Returns all nodes, each behind those that it reads from."""
    data = data_gates(settings, example_gen)
    earlier = window(settings, data.examples, late)
    trained = training(settings, data, earlier)
    previous_models, progressive = progressive_validation(settings, data)
    return [
        example_gen,
        *late,
        *data.nodes,
        previous_models,
        progressive,
        *earlier,
        *trained.nodes,
        *model_gates_and_push(settings, data, earlier, trained.model, progressive.outputs["evaluation"]),
    ]
