"""The config's section `drift`: how far a span may differ from the accepted spans before it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from transform.feature import STRICT, Name

#: A Jensen-Shannon divergence, to the base 2: 0 for equal distributions, 1 for those that share no value.
Divergence = Annotated[float, Field(gt=0, le=1)]

_Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=STRICT)
class Drift:
    """How far a span's data may be from those of the spans before it that were let through, the reference spans.

    A feature's distance is that to the nearest reference span, so that a Sunday is compared with a Sunday. Sampling
    noise is taken off. What the bounds stop, `wdr run --accept-span --reason TEXT` lets through, for this one span.

    Attributes:
      reference_spans: With how many spans before it, at most, a span is compared.
      max_divergence: By feature, or `label`: the largest Jensen-Shannon divergence (base 2) allowed, from 0, equal, to
        1, no value in common. A numeric feature's is that of the shares above and below a threshold, the largest of
        all thresholds. A feature that is not named has `divergence_floor`, or three times the largest divergence
        among the reference spans, if that is more. Missing values are left to `max_presence_change`.
      divergence_floor: What is always allowed of a feature that `max_divergence` does not name; twice this as long as
        there are fewer than 7 reference spans. An id, what is constant within a span, and a feature of the log
        that is derived as a year, a month or a day only warn. Whatever the bound, so do new values of at most a fifth
        of the examples, if the others are as before.
      max_presence_change: By how much the share of examples that have a value of a feature may differ from that of the
        nearest reference span, beyond chance; by twice this as long as there are fewer than 7 reference spans, and by
        three times the usual difference among them, if that is more. Of a feature that few examples have, the share may
        at most halve.
      action: What too large a divergence or change of presence does: `stop` the run, before anything is learned, or
        `warn`.
      min_rows_ratio: A span must have at least this share of the median number of examples of the reference spans.
        0 asks for none.
      min_label_ratio: The share of examples with label 1 must be at least this times the median of the reference spans.
      max_label_ratio: And at most this times it; in a slice, such as a page, at most this times what is usual there.
      max_label_loss: By how much the level of the share of label 1, its median over this span and the 6 before it, and
        the span's own share may be below their anchor: the highest level that has lasted, kept until a person lets a
        span below it through. So labels that go a little each day are found. 1 allows any loss.
      max_miscalibration: If the baseline predicts more than this times the labels that the span has, against what
        it usually predicts, and other evidence says that labels are missing, the run stops. Alone it warns.
      max_unmatched_increase: By how much the share of impressions whose key a table does not have may be larger than
        in any reference span.
      min_agreement: A table's values must belong to the same keys as before: their agreement with the most similar
        reference span's, 0 if values are drawn anew and 1 if all are the same, must be at least this times what it
        usually is.
      max_repeated_rows: The largest share of a span's rows that may be those of a reference span, ids and times aside.
      max_auc_loss: The baseline's AUC on the span may be lower than the median of the reference spans' by at most
        this, beyond chance. A smaller loss that is unusual warns.
      max_rescored_share: Of a log of served rankings, the largest share of rows that may have another score than the
        one that they were ranked by, if their own version scores them again.
      max_moved_increase: Of such a log, by how much the share of items that were shown elsewhere than at their place in
        the answer may be larger than in any reference span.
      max_unused_events_increase: Of such a log, by how much the share of events that are not used for one reason, such
        as `doubled` or `forged`, may be larger than in any reference span.
      max_label_auc_increase: By how much a single feature may predict the label better than in any reference span, as
        AUC: by more, the feature knows the label.
      max_position_error: With a feature that has `at_serving`: the largest standard error, in logit, of the effect of
        the last position against the first among the impressions that were placed by chance. A larger one warns; above
        0.5, where the log does not say whether there is an effect, and without such impressions, the run stops.
    """

    reference_spans: Annotated[int, Field(ge=1, le=400)] = 14
    max_divergence: dict[Name, Divergence] = Field(default_factory=dict)
    divergence_floor: Divergence = 0.05
    max_presence_change: _Share = 0.05
    action: Literal["stop", "warn"] = "stop"
    min_rows_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.2
    min_label_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.6
    max_label_ratio: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.5
    max_label_loss: _Share = 0.35
    max_miscalibration: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 1.15
    max_unmatched_increase: _Share = 0.05
    min_agreement: _Share = 0.5
    max_repeated_rows: Annotated[float, Field(gt=0, le=1)] = 0.5
    max_auc_loss: _Share = 0.05
    max_rescored_share: _Share = 0.002
    max_moved_increase: _Share = 0.1
    max_unused_events_increase: _Share = 0.05
    max_label_auc_increase: _Share = 0.1
    max_position_error: Annotated[float, Field(gt=0, le=0.5)] = 0.1
