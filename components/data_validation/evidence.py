"""What is measured of a span's data: plain numbers, by which the rules judge the span, and later ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from components.data_validation.distributions import Distribution
from components.ingestion.evidence import Evidence, Log
from transform.feature_spec import IMPRESSIONS

_STRICT = ConfigDict(extra="forbid")

_HOURS_PER_DAY = 24


@dataclass(frozen=True, config=_STRICT)
class Labelled:
    """Examples, how many of them have label 1, and the sum of the serving model's scores where it was asked."""

    rows: int
    positives: int
    predicted: float | None = None

    @property
    def label_share(self) -> float:
        return self.positives / self.rows if self.rows else 0.0


@dataclass(frozen=True, config=_STRICT)
class ModelEvidence:
    """How the serving model, which has not seen the span, scores it.

    Attributes:
      whole: The examples scored, over all.
      auc: Of the scores; None if the examples have one label only.
    """

    whole: Labelled
    auc: float | None


@dataclass(frozen=True, config=_STRICT)
class SpanEvidence:
    """The evidence of one span.

    Attributes:
      ingested: What ingestion left.
      num_requests: Different requests among the examples measured; the examples where they have no request.
      label_version: The config's `sources.label_version`.
      label_recipe: A digest of all in the config that makes the label.
      features: By feature, its distribution.
      label_aucs: By feature, the AUC with which it alone tells the label.
      slices: By slice, such as `country = us`, its examples.
      ids: Features that tell users or items apart: how they are distributed is not a mistake by itself.
      model: None without a serving model, or where it could not score the span.
    """

    ingested: Evidence
    num_requests: int
    label_version: int
    label_recipe: str
    features: dict[str, Distribution] = Field(default_factory=dict)
    label_aucs: dict[str, float] = Field(default_factory=dict)
    slices: dict[str, Labelled] = Field(default_factory=dict)
    ids: tuple[str, ...] = ()
    model: ModelEvidence | None = None

    @property
    def span(self) -> int:
        return self.ingested.span

    @property
    def whole(self) -> Labelled:
        """All examples."""
        labels = self.ingested.labels
        return Labelled(labels.negatives + labels.positives, labels.positives)

    @property
    def log(self) -> Log:
        return self.ingested.logs.get(IMPRESSIONS, Log())

    @property
    def hours(self) -> dict[str, Labelled]:
        """By hour of the day, UTC, the examples of that hour; empty without timestamps."""
        found: dict[str, Labelled] = {}
        for hour, labels in self.ingested.labels_by_hour.items():
            name = f"{hour % _HOURS_PER_DAY:02d}"
            before = found.get(name, Labelled(0, 0))
            found[name] = Labelled(
                before.rows + labels.negatives + labels.positives, before.positives + labels.positives
            )
        return found

    def to_inputs(self) -> dict[str, Any]:
        """As a GateRecord's inputs."""
        inputs: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return inputs

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> SpanEvidence:
        return _ADAPTER.validate_python(inputs)


_ADAPTER = TypeAdapter(SpanEvidence)

#: The spans before the current one, by which it is judged; the oldest first.
Reference = Sequence[SpanEvidence]
