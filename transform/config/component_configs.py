"""What each component receives of a config, so that changes in other parts keep its cached result valid."""

from __future__ import annotations

import dataclasses

from transform.config.beam import Beam
from transform.config.component_settings import (
    DataSettings,
    EvaluationSettings,
    InfraSettings,
    IngestionSettings,
    QualitySettings,
    TrainerSettings,
    TunerSettings,
)
from transform.config.config import Config
from transform.config.effective import effective
from transform.config.evaluation import Evaluation, Threshold
from transform.config.schedule import Schedule
from transform.derived_times import Derive
from transform.feature import Feature, Vocabulary
from transform.feature_spec import FeatureSpec


def for_ingestion(config: Config) -> IngestionSettings:
    """The sources, the rules for rows and how each feature is read; not how it is transformed or modelled."""
    ingestion = dataclasses.replace(config.ingestion, window_spans=1)
    return IngestionSettings(config.sources, _as_read(config.spec), ingestion)


def for_data_validation(config: Config) -> EvaluationSettings:
    """The sources, how the features are read and derived, their shared vocabularies, and the users; no bounds."""
    features = tuple(
        dataclasses.replace(
            _with_positions(read, f),
            vocabulary=f.vocabulary if isinstance(f.vocabulary, str) else read.vocabulary,
            derive=f.derive,
        )
        for f, read in zip(config.spec.features, _as_read(config.spec).features, strict=True)
    )
    users = Evaluation({"auc": Threshold(min=0)}, user=config.evaluation.user, gauc_by=config.evaluation.gauc_by)
    return EvaluationSettings(config.sources, FeatureSpec(features=features), users)


def for_transform(config: Config) -> DataSettings:
    """The feature spec, and the sources, whose null values are missing ones."""
    return DataSettings(config.sources, config.spec)


def for_tuner(config: Config) -> TunerSettings:
    """The feature spec, the model, the training, and the settings to tune, which there must be."""
    assert config.tuning is not None
    return TunerSettings(config.sources, config.spec, config.model, config.training, config.tuning)


def for_trainer(config: Config) -> TrainerSettings:
    """The feature spec, the model, the training and `skew`; the trainer receives tuned settings as values."""
    return TrainerSettings(config.sources, config.spec, config.model, config.training, config.skew)


def for_infra_validation(config: Config) -> InfraSettings:
    """`infra_validation`, and the sources and feature spec, which determine the model's signatures."""
    return InfraSettings(config.sources, config.spec, config.infra_validation)


def for_quality_gate(config: Config) -> QualitySettings:
    """The bounds on quality, and the sources and features, which determine the names of the evaluation's rows."""
    return QualitySettings(config.sources, _as_read(config.spec), config.evaluation, config.quality)


def for_push(config: Config) -> Config:
    """Everything that determined the model and its evaluation, effective; not the schedule, and not where Beam ran."""
    return dataclasses.replace(effective(config), schedule=Schedule(), beam=Beam())


def recipe(config: Config) -> str:
    """What of the config determines a model, as text: how its rows are made, and how it is trained."""
    without_limits = dataclasses.replace(config.ingestion, min_impressions=1, max_rejected_fraction=1.0)
    rows = for_ingestion(dataclasses.replace(config, ingestion=without_limits))
    return rows.to_json() + for_trainer(effective(config)).to_json()


def _as_read(spec: FeatureSpec) -> FeatureSpec:
    """The features with what ingestion reads of them; the rest has one value for all."""
    features = tuple(
        dataclasses.replace(
            feature,
            vocabulary=Vocabulary() if feature.has_ids else None,
            num_quantiles=2 if "num_quantiles" in feature.of_kind.options else None,
            boundaries=None,
            scale="quantile",
            derive=_as_checked(feature.derive),
            parts=("wide", "deep"),
            at_serving=None,
            min_present_fraction=0.0,
        )
        for feature in spec.features
    )
    return FeatureSpec(features=features)


def _with_positions(read: Feature, feature: Feature) -> Feature:
    """What ingestion reads of a feature, with the positions of one whose effect is told apart by chance."""
    if feature.at_serving is None:
        return read
    return dataclasses.replace(
        read, at_serving=feature.at_serving, boundaries=feature.boundaries, num_quantiles=feature.num_quantiles
    )


def _as_checked(derive: Derive | None) -> Derive | None:
    """What ingestion checks: the form of the texts."""
    if derive is None:
        return None
    return Derive(part="hour" if derive.form.needs_hour else "year", format=derive.format)
