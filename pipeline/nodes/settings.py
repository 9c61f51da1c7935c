"""Settings of the nodes, derived from a config and from what a runner supplies; and the file of the schema."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from tfx.orchestration.data_types import RuntimeParameter

from components import storage
from pipeline.workspace import Workspace
from transform.config import component_configs
from transform.config.component_settings import QualitySettings
from transform.config.config import Config
from transform.config.drift import Drift
from transform.schema import schema_text


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
      config_file: The config's file, for the commands in the report; empty if it is not known.
    """

    data_root: str
    workspace: Workspace
    span: int | None = None
    force_reason: str = ""
    accept_reason: str | RuntimeParameter = ""
    config_file: str = ""


@dataclasses.dataclass(frozen=True)
class NodeSettings:
    """What the nodes are given: each the sections of the config that it reads, so that others keep its cached result.

    Attributes:
      run: The runner's settings.
      span: The span; None takes the latest. In a compiled pipeline, a runtime parameter.
      schema_file: The file with the schema that the examples must fit.
      serving_root: The folder of versions.
      checkpoint_root: The folder of the trainer's checkpoints.
      has_late_labels: Whether a span's last labels are completed by the next span.
      window_spans: Number of spans to train on.
      pool_spans: Number of spans whose records the gate on quality pools.
      num_kept_versions: Number of pushed versions that are kept.
      features: The names of the features in examples.
      ingestion: The config's part for the ingestion, and for the completion of late labels, as JSON.
      data_validation: Its part for measuring a span, as JSON.
      drift: The bounds of the gate on data.
      transform: Its part for Transform, as JSON.
      trainer: Its part for the trainer, as JSON.
      tuner: Its part for the search of settings, as JSON; None without one.
      infra_validation: Its part for the dry run, as JSON.
      quality: Its part for the evaluators and the gate on quality.
      recipe: What of it determines a model, as text.
      push: Its part that a pushed version records, as JSON.
    """

    run: RunSettings
    span: int | RuntimeParameter | None
    schema_file: str
    serving_root: str
    checkpoint_root: str
    has_late_labels: bool
    window_spans: int
    pool_spans: int
    num_kept_versions: int
    features: list[str]
    ingestion: str
    data_validation: str
    drift: Drift
    transform: str
    trainer: str
    tuner: str | None
    infra_validation: str
    quality: QualitySettings
    recipe: str
    push: str


def derive_settings(
    config: Config, settings: RunSettings, span_parameter: RuntimeParameter | None = None
) -> NodeSettings:
    """Derives the settings of all nodes; `span_parameter` is as in `create_pipeline`."""
    return NodeSettings(
        run=settings,
        span=span_parameter or settings.span,
        schema_file=str(schema_path(config, settings.workspace)),
        serving_root=str(settings.workspace.serving(config.name)),
        checkpoint_root=str(settings.workspace.checkpoints),
        has_late_labels=config.sources.has_late_labels,
        window_spans=config.ingestion.window_spans,
        pool_spans=config.quality.pool_spans,
        num_kept_versions=config.push.num_kept_versions,
        features=sorted(config.spec.example_names),
        drift=config.drift,
        ingestion=component_configs.for_ingestion(config).to_json(),
        data_validation=component_configs.for_data_validation(config).to_json(),
        transform=component_configs.for_transform(config).to_json(),
        trainer=component_configs.for_trainer(config).to_json(),
        tuner=None if config.tuning is None else component_configs.for_tuner(config).to_json(),
        infra_validation=component_configs.for_infra_validation(config).to_json(),
        quality=component_configs.for_quality_gate(config),
        recipe=component_configs.recipe(config),
        push=component_configs.for_push(config).to_json(),
    )


def schema_path(config: Config, workspace: Workspace) -> Path:
    """Returns the schema's path; its name is a hash of the content, since ImportSchemaGen's cache compares the path."""
    digest = hashlib.sha256(schema_text(config).encode()).hexdigest()
    return workspace.compiled / f"schema-{digest[:16]}.pbtxt"


def write_schema(config: Config, workspace: Workspace) -> None:
    """Writes the schema of a config's examples for ImportSchemaGen; must be called before a run reads it."""
    storage.write_text(str(schema_path(config, workspace)), schema_text(config))
