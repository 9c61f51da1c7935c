"""The config's section `quality`: the allowed loss over several spans, and how many spans it is judged on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from transform.config.settings import PositiveFloat
from transform.feature import STRICT


@dataclass(frozen=True, config=STRICT)
class Quality:
    """The gate on quality over several spans, beside the thresholds on each of them.

    The anchor is the first pushed model, until one is better by more than chance; it is never removed. All losses since
    it was pushed count together, so that a little a day does not pass for ever.

    Attributes:
      max_auc_loss: By how much the AUC may be lower than the anchor's, on the same rows. A model is refused where this
        span has lost more, and the last spans together have too, beyond chance.
      max_logloss_rise: By which share of the anchor's log loss the log loss may be higher, judged alike.
      max_unseen_calibration_loss: How much further from 1 the calibration of a model may be on the first span that it
        has not seen than on its own, in the mean over models of the same config and code; 0.15 is about 15 %.
      max_unseen_logloss_rise: How much higher the log loss may be there, as a share of the entropy of the label.
      max_auc_rise: By how much the AUC may be higher than the baseline's, and than that of any model of the last
        spans on its own span, beyond chance. More is too good to be true: a feature knows the label. Where neither the
        config nor the code has changed, the rise may not exceed that of the last spans either, beyond chance. A first
        model that leads the reference models by more is a warning if one feature carries the lead.
      pool_spans: How many spans are pooled at most.
      min_spans: Of how many spans unseen data is judged at least; a warning says how many there are.
    """

    # In 1,000 good days with 4,000 to 30,000 evaluation rows, these refuse at most 2 models. With 10,000 rows or more,
    # they stop a decline of 0.002 or 0.005 a day before 0.02 is lost (`python -m benchmarks.gate_replay`).
    max_auc_loss: PositiveFloat = 0.006
    max_logloss_rise: PositiveFloat = 0.02
    max_unseen_calibration_loss: PositiveFloat = 0.15
    max_unseen_logloss_rise: PositiveFloat = 0.05
    max_auc_rise: PositiveFloat = 0.1
    pool_spans: Annotated[int, Field(ge=1, le=100)] = 7
    min_spans: Annotated[int, Field(ge=2, le=100)] = 5

    @model_validator(mode="after")
    def _enough_spans(self) -> Quality:
        if self.min_spans > self.pool_spans:
            raise ValueError(
                f"`min_spans` must be at most `pool_spans`. Received: {self.min_spans} and {self.pool_spans}"
            )
        return self
