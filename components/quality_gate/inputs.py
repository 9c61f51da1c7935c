"""The quality gate's inputs: measurements of a candidate model, of the model that serves and of the anchor, by span."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.metrics.score_values import ScoreValues
from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import GateRecord
from transform.config.evaluation import Evaluation
from transform.config.quality import Quality

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Rival:
    """A model that the candidate model is compared with.

    Attributes:
      model_uri: The model's URI; empty if there is none.
      version: The model's version; None if it was removed.
      metrics: Its metrics on this span's evaluation rows, from `compute_metrics`; empty if it could not be scored.
      differences: By metric, the candidate model's minus this model's, on the same rows.
      problem: Why it could not be measured, as a sentence; empty if it could.
    """

    model_uri: str
    version: int | None = None
    metrics: dict[str, _Finite] = Field(default_factory=dict)
    differences: dict[str, PairedDifference] = Field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, config=_STRICT)
class ReferenceResult:
    """A reference model's quality (`trainer.reference_models`), and the candidate model's gain.

    Attributes:
      num_rows: The number of training rows that it was fitted on.
      metrics: Its metrics on this span's evaluation rows, as returned by `compute_metrics`.
      differences: By metric, the candidate model's minus this model's, on the same rows.
    """

    num_rows: int
    metrics: dict[str, _Finite]
    differences: dict[str, PairedDifference]

    def gain(self, metric: str) -> Estimate | None:
        """Returns by how much the candidate model is better, positive if it is; None if it was not measured.

        Args:
          metric: `auc`, of which more is better, or `logloss`, of which less is better.
        """
        if metric not in self.differences:
            return None
        difference = self.differences[metric]
        sign = -1 if metric == "logloss" else 1
        return Estimate(sign * difference.estimate, difference.standard_error)


@dataclass(frozen=True, config=_STRICT)
class AucFalls:
    """By how much AUCs fall if one feature's values are permuted among rows, as measured by `auc_falls`.

    Attributes:
      num_rows: The number of rows of the sample.
      auc: The candidate model's AUC on them.
      falls: By feature, by how much this AUC falls.
      anchor_auc: The anchor's AUC on them; None if it was not compared.
      anchor_falls: By feature, by how much the anchor's AUC falls; empty if it was not compared.
      exempt: The features that a first model's lead may come from: the ids of items and users, and what tables have of
        an item, of which the item mean has all that it says alone.
      errors: By feature, the standard error of its fall over samples of users, or of requests without users; empty if
        all rows are of one user, and in a document of an earlier release.
    """

    num_rows: int
    auc: _Finite
    falls: dict[str, _Finite]
    anchor_auc: _Finite | None = None
    anchor_falls: dict[str, _Finite] = Field(default_factory=dict)
    exempt: tuple[str, ...] = ()
    errors: dict[str, _Finite] = Field(default_factory=dict)

    def estimates(self) -> list[tuple[str, Estimate]]:
        """Returns the features with their falls, the largest first; an error that was not measured is NaN."""
        ordered = sorted(self.falls.items(), key=lambda item: -item[1])
        return [(name, Estimate(fall, self.errors.get(name, math.nan))) for name, fall in ordered]


@dataclass(frozen=True, config=_STRICT)
class QualityInputs:
    """The quality gate's inputs of one span.

    Attributes:
      model_uri: The candidate model's URI, as in manifests, like all URIs here.
      recipe: A digest of the config and the code that it was trained with.
      serving_uri: The URI of the model that serves; empty on a first run.
      measured: The Evaluator's results of both by slice; `""` is all examples.
      anchor: The anchor; None if there is none yet.
      not_compared: Why the model that serves is not compared, as a sentence; empty if it is.
      references: The reference models by name, the simplest first; empty if the trainer scored none.
      references_problem: Why they could not be compared, as a sentence; empty if they could.
      references_by_slice: By reference model, slice and metric, as in their `differences`: those in the slice; empty if
        no slice is judged by a worsening, and in a record of an earlier release.
      calibration_slope: The candidate model's (`components.evaluation.metrics.slope`); None if it has none, and in a
        record of an earlier release.
      auc_falls: By how much the AUC falls without each feature, and the anchor's AUC if a rule asked for it; None if
        the rows have one label, and in a record of an earlier release.
      score_values: The candidate model's scores as numbers; None if they could not be read, and in a record of an
        earlier release.
      serving_tied: `ScoreValues.tied` of the model that serves, on the same rows; None if it is not compared.
    """

    model_uri: str
    recipe: str
    serving_uri: str
    measured: dict[str, EvaluationResult]
    anchor: Rival | None = None
    not_compared: str = ""
    references: dict[str, ReferenceResult] = Field(default_factory=dict)
    references_problem: str = ""
    references_by_slice: dict[str, dict[str, dict[str, PairedDifference]]] = Field(default_factory=dict)
    calibration_slope: Estimate | None = None
    auc_falls: AucFalls | None = None
    score_values: ScoreValues | None = None
    serving_tied: _Finite | None = None

    @property
    def whole(self) -> EvaluationResult:
        """The Evaluator's result over all examples."""
        return self.measured[""]

    def to_json(self) -> dict[str, Any]:
        """Converts the inputs to those of a GateRecord."""
        plain: dict[str, Any] = json.loads(_ADAPTER.dump_json(self))  # NaN becomes null
        return plain

    @classmethod
    def from_json(cls, inputs: Mapping[str, Any]) -> QualityInputs:
        """Converts the output of `to_json` back; raises pydantic's ValidationError, a ValueError, for other input."""
        return _ADAPTER.validate_python(dict(inputs))


_ADAPTER = TypeAdapter(QualityInputs)


@dataclasses.dataclass(frozen=True)
class EarlierSpan:
    """The gate's inputs of an earlier span, and whether the gate refused that span's model."""

    span: int
    inputs: QualityInputs
    refused: bool


class Case(NamedTuple):
    """What the gate's rules judge.

    Attributes:
      current: The inputs of this span.
      span: The span.
      earlier: The inputs of earlier spans, oldest first.
      settings: The bounds over several spans.
      evaluation: The bounds on one span.
    """

    current: QualityInputs
    span: int
    earlier: Sequence[EarlierSpan]
    settings: Quality
    evaluation: Evaluation


def earlier_spans(records: Iterable[GateRecord]) -> list[EarlierSpan]:
    """Returns the earlier spans of records, oldest first; spans without a model to judge are left out."""
    return [
        EarlierSpan(r.span, QualityInputs.from_json(r.inputs), bool(r.of_severity("refuse")))
        for r in sorted(records, key=lambda record: record.span)
        if r.inputs
    ]
