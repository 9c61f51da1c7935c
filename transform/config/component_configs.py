"""The part of the config that each component receives, so that changes in other parts keep its cached result valid."""

from __future__ import annotations

import dataclasses

from transform.config import infra_validation as infra_settings
from transform.config import settings
from transform.config.beam import Beam
from transform.config.config import Config
from transform.config.drift import Drift
from transform.config.evaluation import Evaluation, Threshold
from transform.config.quality import Quality
from transform.config.schedule import Schedule
from transform.derived_times import Derive
from transform.feature import Feature, Vocabulary
from transform.feature_spec import FeatureSpec

_ANY_EVALUATION = Evaluation(thresholds={"auc": Threshold(min=0.0)})


@dataclasses.dataclass(frozen=True)
class Evaluators:
    """What the evaluators measure.

    Attributes:
      evaluation: The metrics and slices.
      weighted: Whether the examples have weights.
      has_requests: Whether the examples have request ids.
      user: The feature that is the user's id; None if there is none.
    """

    evaluation: Evaluation
    weighted: bool
    has_requests: bool
    user: str | None


def for_evaluators(config: Config) -> Evaluators:
    """The metrics, and what they need of the examples."""
    log = config.sources.impressions
    return Evaluators(config.evaluation, log.weight is not None, log.request_id is not None, config.user)


def for_ingestion(config: Config) -> Config:
    """The sources, the rules for rows and how each feature is read; not how it is transformed or modelled."""
    return Config(
        name=config.name,
        sources=config.sources,
        spec=FeatureSpec(features=tuple(_as_read(f) for f in config.spec.features)),
        evaluation=_ANY_EVALUATION,
        ingestion=dataclasses.replace(config.ingestion, window_spans=1),
    )


def _as_read(feature: Feature) -> Feature:
    return dataclasses.replace(
        feature,
        vocabulary=None if feature.is_numeric else Vocabulary(),
        num_quantiles=2 if feature.is_numeric else None,
        boundaries=None,
        scale="quantile",
        derive=_as_checked(feature.derive),
        parts=("wide", "deep"),
        min_present_fraction=0.0,
    )


def _as_checked(derive: Derive | None) -> Derive | None:
    """What ingestion checks: the form of the texts."""
    if derive is None:
        return None
    return Derive(part="hour" if derive.form.needs_hour else "year", format=derive.format)


def for_transform(config: Config) -> Config:
    """The feature spec; of the model only which parts it has."""
    return _without_gates(
        dataclasses.replace(
            config,
            model=settings.Model(parts=config.model.parts),
            training=settings.Training(),
            tuning=None,
            skew=infra_settings.Skew(),
        )
    )


def for_trainer(config: Config) -> Config:
    """The feature spec, the model, the training and `skew`; the trainer receives tuned settings as values."""
    return _without_gates(dataclasses.replace(config, tuning=None))


def for_tuner(config: Config) -> Config:
    """The feature spec, the model, the training, and the settings to tune."""
    return _without_gates(dataclasses.replace(config, skew=infra_settings.Skew()))


def for_data_validation(config: Config) -> Config:
    """The sources, how the features are read and derived, and which vocabulary they share; without the bounds."""
    features = tuple(
        dataclasses.replace(
            _as_read(f),
            vocabulary=f.vocabulary if isinstance(f.vocabulary, str) else _as_read(f).vocabulary,
            derive=f.derive,
        )
        for f in config.spec.features
    )
    return dataclasses.replace(
        for_ingestion(config),
        spec=FeatureSpec(features=features),
        ingestion=settings.Ingestion(split_by=config.ingestion.split_by),
    )


def for_infra_validation(config: Config) -> Config:
    """`infra_validation`, and the sources and feature spec, which determine the model's signatures."""
    return dataclasses.replace(for_transform(config), infra_validation=config.infra_validation)


def for_push(config: Config) -> Config:
    """Everything that determined the model and its evaluation; not the schedule, and not where Beam ran."""
    return dataclasses.replace(config, schedule=Schedule(), beam=Beam())


def for_quality_gate(config: Config) -> Config:
    """The bounds on quality, and the sources, which determine the names of the evaluation's rows."""
    plain = for_ingestion(config)
    return dataclasses.replace(plain, evaluation=config.evaluation, quality=config.quality)


def _without_gates(config: Config) -> Config:
    return dataclasses.replace(
        config,
        evaluation=_ANY_EVALUATION,
        quality=Quality(),
        infra_validation=infra_settings.InfraValidation(),
        push=settings.Push(),
        drift=Drift(),
        schedule=Schedule(),
        beam=Beam(),
        ingestion=dataclasses.replace(config.ingestion, window_spans=1, min_impressions=1, max_rejected_fraction=1.0),
    )
