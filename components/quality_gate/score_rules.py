"""The rules on the scores as numbers: warns of few distinct ones, and of certain ones that are wrong.

Both may leave every metric within its bounds: with 8 distinct scores a model of AUC 0.7 loses 0.005, and 0.3 % of the
rows with a score of 0 cost a log loss of 0.003.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.evaluation.metrics.paired import LEAST_SCORE
from components.gate_records import Finding
from components.quality_gate.calibration import MAX_MISCALIBRATION
from components.quality_gate.inputs import Case
from components.quality_gate.judgement import GATE

#: The config's key of the finding on scores that coincide: no metric has to be worse.
THRESHOLDS = "evaluation.thresholds"

#: The share of pairs with the same score that is always allowed, and how many times the baseline's is. Of 100
#: equally frequent scores, 1 % coincide, and the AUC is lower by less than 0.0001.
_TIED, _TIMES_SERVING = 0.01, 10.0

#: The share of certain scores that may be wrong: a few labels may be wrong themselves.
_WRONG = 0.01


def coinciding_scores(case: Case) -> Iterator[Finding]:
    """Warns of a model whose scores coincide far more often than those of the model that serves."""
    values, serving = case.current.score_values, case.current.serving_tied
    if values is None or serving is None:
        return
    bound = max(_TIED, _TIMES_SERVING * serving)
    if values.tied > bound:
        sentence = (
            f"two examples may have the same score in at most {bound:.1%} of all pairs, while the baseline's have "
            f"in {serving:.2%} ({THRESHOLDS}). Received: {values.tied:.1%}: few distinct scores, as by an export "
            "of low precision or by a part of the model that has lost its inputs; what has one score has no order"
        )
        yield _warning(case, THRESHOLDS, "scores", values.tied, bound, sentence)


def wrong_certain_scores(case: Case) -> Iterator[Finding]:
    """Warns of scores of 0 or 1 that the labels contradict."""
    values = case.current.score_values
    if case.evaluation.max_miscalibration is None or values is None or not values.certain:
        return
    share = values.wrong / values.certain
    if share > _WRONG:
        sentence = (
            f"of scores within {LEAST_SCORE:g} of 0 or 1, at most {_WRONG:.0%} may have the other label "
            f"({MAX_MISCALIBRATION}). Received: {values.wrong:,} of {values.certain:,}, as where the scores of some "
            "examples are not computed"
        )
        yield _warning(case, MAX_MISCALIBRATION, "scores", share, _WRONG, sentence)


def _warning(case: Case, rule: str, subject: str, value: float, bound: float, sentence: str) -> Finding:
    return Finding(GATE, rule, "warn", subject, value, bound, case.current.whole.num_examples, sentence)
