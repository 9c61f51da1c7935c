"""Measurements of a span's data: plain numbers by which the rules judge this span and later ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from components.data_validation.distributions import Distribution
from components.data_validation.positions import PositionEvidence
from components.ingestion.evidence import Evidence, Log
from transform.feature import IMPRESSIONS

_STRICT = ConfigDict(extra="forbid")

_HOURS_PER_DAY = 24

#: The largest number of examples measured. Ingestion shuffles them, so the first ones are a random sample; more would
#: make no distribution much more certain.
MAX_EXAMPLES = 200_000

#: The size of the sketch of rows in a gate record, which is stored for years.
SKETCH_ROWS = 500


@dataclass(frozen=True, config=_STRICT)
class Labelled:
    """The number of examples and of label 1 among them, and the sum of the baseline's scores if it scored them."""

    rows: int
    positives: int
    predicted: float | None = None

    @property
    def label_share(self) -> float:
        return self.positives / self.rows if self.rows else 0.0


@dataclass(frozen=True, config=_STRICT)
class ModelEvidence:
    """Results of the baseline, which was not trained on the span, on its examples.

    Attributes:
      whole: All examples that were scored.
      auc: The AUC of the scores; None if the examples have one label only.
      slice_aucs: The same by slice, of slices with both labels; empty in the record of an earlier release.
    """

    whole: Labelled
    auc: float | None
    slice_aucs: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, config=_STRICT)
class Rescored:
    """Rows of served rankings that were scored again by the versions that ranked them.

    Attributes:
      sampled: The rows drawn.
      rows: Those of them that were scored again; of the others, the version's model is gone.
      different: Those of these with another score.
      largest: The largest difference.
      cause: Why they differ, in words that follow "the rows"; empty if they do not, or the cause was not found.
    """

    sampled: int
    rows: int
    different: int
    largest: float
    cause: str = ""


@dataclass(frozen=True, config=_STRICT)
class SpanEvidence:
    """The evidence of one span.

    Attributes:
      ingested: The evidence that ingestion wrote.
      num_requests: The number of distinct requests among the measured examples; of examples if they have no requests.
      label_version: The config's `sources.label_version`.
      label_recipe: A digest of everything in the config that determines the label.
      features: The distributions by feature.
      label_aucs: By feature, the AUC with which it alone predicts the label.
      slices: The examples by slice, such as `country = us`.
      ids: Features that identify users or items; a change of their distributions alone is no error.
      of_calendar: Features derived as a year, a month or a day, whose distributions change by the calendar; the same.
      sample: The measured examples, at most MAX_EXAMPLES; None in the record of an earlier release.
      label_anchor: The share of label 1 from which the level of the last spans is measured (`label_rules.shares`); None
        before there are enough spans, and in the record of an earlier release.
      rescored: Of a log of served rankings, a sample scored again; None of another log.
      model: The baseline's results; None without a baseline, or if it could not score the span.
      position: The examples by the position that only the log has; None without such a feature.
    """

    ingested: Evidence
    num_requests: int
    label_version: int
    label_recipe: str
    features: dict[str, Distribution] = Field(default_factory=dict)
    label_aucs: dict[str, float] = Field(default_factory=dict)
    slices: dict[str, Labelled] = Field(default_factory=dict)
    ids: tuple[str, ...] = ()
    of_calendar: tuple[str, ...] = ()
    sample: Labelled | None = None
    label_anchor: float | None = None
    rescored: Rescored | None = None
    model: ModelEvidence | None = None
    position: PositionEvidence | None = None

    @property
    def span(self) -> int:
        return self.ingested.span

    @property
    def whole(self) -> Labelled:
        """All examples."""
        labels = self.ingested.labels
        return Labelled(labels.negatives + labels.positives, labels.positives)

    @property
    def measured(self) -> Labelled:
        """The measured examples; of a record without their number, the largest sample with the label share of all."""
        if self.sample is not None:
            return self.sample
        whole = self.whole
        share = min(1.0, MAX_EXAMPLES / whole.rows) if whole.rows else 1.0
        return Labelled(round(share * whole.rows), round(share * whole.positives))

    @property
    def log(self) -> Log:
        return self.ingested.logs.get(IMPRESSIONS, Log())

    @property
    def hours(self) -> dict[str, Labelled]:
        """The examples by hour of the day, UTC; empty without timestamps."""
        found: dict[str, Labelled] = {}
        for hour, labels in self.ingested.labels_by_hour.items():
            name = f"{hour % _HOURS_PER_DAY:02d}"
            before = found.get(name, Labelled(0, 0))
            found[name] = Labelled(
                before.rows + labels.negatives + labels.positives, before.positives + labels.positives
            )
        return found

    def to_inputs(self) -> dict[str, Any]:
        """Converts the evidence to a GateRecord's inputs."""
        inputs: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return inputs

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> SpanEvidence:
        return _ADAPTER.validate_python(inputs)


_ADAPTER = TypeAdapter(SpanEvidence)

#: The reference spans: the spans before the current one by which it is judged, the oldest first.
Reference = Sequence[SpanEvidence]
