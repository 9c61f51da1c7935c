"""A deployment's config: frozen, validated dataclasses."""

from __future__ import annotations

import dataclasses

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from transform.config import infra_validation as infra_settings
from transform.config import settings, tuning
from transform.config import sources as source_sections
from transform.config.beam import Beam
from transform.config.component_settings import InfraSettings, IngestionSettings, QualitySettings, TrainerSettings
from transform.config.drift import Drift
from transform.config.evaluation import Evaluation
from transform.config.quality import Quality
from transform.config.schedule import Schedule
from transform.example_keys import LABEL
from transform.feature import STRICT, Name
from transform.feature_spec import FeatureSpec


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Config(IngestionSettings, QualitySettings, InfraSettings, TrainerSettings):
    """One deployment: everything that its pipeline needs to know beside where its data lies.

    The rules that bind sections are those of its parts, the components' settings, beside the ones below.
    """

    name: Name
    sources: source_sections.Sources
    spec: FeatureSpec
    evaluation: Evaluation
    ingestion: settings.Ingestion = Field(default_factory=settings.Ingestion)
    model: settings.Model = Field(default_factory=settings.Model)
    training: settings.Training = Field(default_factory=settings.Training)
    tuning: settings.Tuning | None = None
    quality: Quality = Field(default_factory=Quality)
    infra_validation: infra_settings.InfraValidation = Field(default_factory=infra_settings.InfraValidation)
    skew: infra_settings.Skew = Field(default_factory=infra_settings.Skew)
    push: settings.Push = Field(default_factory=settings.Push)
    drift: Drift = Field(default_factory=Drift)
    schedule: Schedule = Field(default_factory=Schedule)
    beam: Beam = Field(default_factory=Beam)

    @model_validator(mode="after")
    def _drift_is_of_features(self) -> Config:
        for name in self.drift.max_divergence:
            if name not in (allowed := [LABEL, *sorted(self.spec.by_name)]):
                raise ValueError(f"`drift.max_divergence` names `{name}`, which is none of {allowed}")
        return self

    @model_validator(mode="after")
    def _ranges_are_of_settings(self) -> Config:
        if self.tuning is not None:
            tuning.check_ranges(dataclasses.replace(self, tuning=None), self.tuning.ranges)
        return self
