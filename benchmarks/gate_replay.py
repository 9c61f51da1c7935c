"""Good days that the gate on quality refuses, and declines that it stops: `python -m benchmarks.gate_replay`.

Draws each day's inputs as the pipeline would record them, and applies the gate's own functions with the default bounds;
after a refusal, the baseline, the anchor and the pool are those of a real run. Differences between two models have
the standard errors that this number of rows gives: on 20,000 evaluation rows of the simulated store, the 95 % intervals
of AUC were ± 0.0065. On a good day the model is as good as the anchor, apart from the randomness of training. In a
decline, each day's model is worse than the previous day's by a fixed AUC; the largest loss that served is reported.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Iterator

import numpy as np
from rich.table import Table

from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.paired import PairedDifference, compute_metrics, differences
from components.evaluation.results import Estimate, EvaluationResult
from components.quality_gate.inputs import EarlierSpan, QualityInputs, Rival
from components.quality_gate.rules import becomes_anchor, decide
from pipeline.cli.display import console_for
from transform.config.evaluation import Evaluation, Threshold
from transform.config.quality import Quality

ROWS = (4_000, 10_000, 20_000, 30_000)
DECLINES = (0.002, 0.005)

#: The loss of AUC, in all, before which a decline must be stopped.
MAX_LOSS = 0.02
NUM_DAYS = 30

#: Number of consecutive good days: nearly three years.
STRETCH = 1_000

#: Mean and standard deviation of the rows' true logits: 7 % of the labels are 1, and the AUC is about 0.70.
_LOGIT_MEAN, _LOGIT_SPREAD = -2.85, 0.75
#: Standard deviation of a model's logit error per row, set so that 20,000 rows give intervals of ± 0.0065.
_MODEL_ERROR = 0.25
#: Standard deviation of a model's AUC due to the randomness of training.
_TRAINING_ERROR = 0.0007
#: Standard deviation of the log calibration, on a model's own span and on the next one.
_OWN_CALIBRATION, _UNSEEN_CALIBRATION = 0.02, 0.05

#: The thresholds on one span; these days are far from all of them except the worsening.
EVALUATION = Evaluation(thresholds={"auc": Threshold(min=0.6, max_worsening=0.02)})

_NAMES = ("auc", "logloss")

#: d logloss / d AUC of the model above, with the sign reversed.
_LOGLOSS_PER_AUC = 0.25


@dataclasses.dataclass(frozen=True)
class Noise:
    """Standard errors of one model's metrics on a day's rows, apart from the errors that all models share."""

    rows: int
    positives: int
    auc: float
    logloss: float
    metrics: dict[str, float]


def noise_of(rows: int, draw: np.random.Generator) -> Noise:
    """Draws rows, scores them with two models, and divides the standard errors of their differences by √2."""
    logit = draw.normal(_LOGIT_MEAN, _LOGIT_SPREAD, rows)
    label = (draw.random(rows) < _sigmoid(logit)).astype(np.float64)
    one, other = (_sigmoid(logit + draw.normal(0, _MODEL_ERROR, rows)) for _ in range(2))
    found = differences(label, np.ones(rows), np.arange(rows) // 10, one, other)
    metrics = compute_metrics(label, np.ones(rows), one)
    errors = {name: found[name].standard_error / math.sqrt(2) for name in ("auc", "logloss")}
    return Noise(rows, int(label.sum()), errors["auc"], errors["logloss"], metrics)


def _sigmoid(logit: Array) -> Array:
    scores: Array = 1 / (1 + np.exp(-logit))
    return scores


@dataclasses.dataclass(frozen=True)
class Day:
    """One day: whether its model was refused, and the AUC that the then baseline has lost since the first day."""

    refused: bool
    lost: float


def days(noise: Noise, decline: float, num_days: int, draw: np.random.Generator, settings: Quality) -> Iterator[Day]:
    """Yields the gate's decisions, day after day.

    Args:
      noise: The noise of each day's metrics.
      decline: By how much each model's AUC is lower than that of the day before.
      num_days: Number of days after the first one, whose model is the anchor.
      draw: The random number generator.
      settings: The gate's bounds.
    """
    quality = {"0": 0.0}
    serving, anchor = "0", "0"
    earlier = [EarlierSpan(0, _inputs(noise, draw, "0", "", None, quality), refused=False)]
    for day in range(1, num_days + 1):
        model = str(day)
        quality[model] = -decline * day + draw.normal(0, _TRAINING_ERROR)
        inputs = _inputs(noise, draw, model, serving, anchor, quality)
        refused = any(f.severity == "refuse" for f in decide(inputs, day, earlier, settings, EVALUATION))
        earlier = [*earlier[-settings.pool_spans - 2 :], EarlierSpan(day, inputs, refused)]
        if not refused:
            serving = model
            anchor = model if becomes_anchor(inputs) else anchor
        yield Day(refused, -quality[serving])


def _inputs(
    noise: Noise,
    draw: np.random.Generator,
    model: str,
    serving: str,
    anchor: str | None,
    quality: dict[str, float],
) -> QualityInputs:
    """Draws what a day's run would record; a model has the same error in its comparisons with all other models.

    `serving` is empty and `anchor` None on the first day.
    """
    errors = np.array([noise.auc, noise.logloss])
    chance = {m: draw.normal(0, errors) for m in sorted({model, serving, anchor or ""} - {""})}

    def difference(other: str) -> list[float]:
        gap = quality[model] - quality[other]
        found: list[float] = (np.array([gap, -_LOGLOSS_PER_AUC * gap]) + chance[model] - chance[other]).tolist()
        return found

    def paired(other: str) -> dict[str, tuple[float, float]]:
        both = errors * math.sqrt(2)
        return {n: (d, e) for n, d, e in zip(_NAMES, difference(other), both.tolist(), strict=True)}

    own = {**noise.metrics, "calibration": math.exp(draw.normal(0, _OWN_CALIBRATION))}
    unseen = {**noise.metrics, "calibration": math.exp(draw.normal(0, _UNSEEN_CALIBRATION))}
    whole = EvaluationResult(
        num_examples=noise.rows,
        metrics=own,
        baseline=unseen if serving else {},
        changes={n: Estimate(*values) for n, values in paired(serving).items()} if serving else {},
        num_positives=noise.positives,
        num_units=noise.rows // 10,
    )
    rival = None
    if anchor is not None:
        against = {n: PairedDifference(*values) for n, values in paired(anchor).items()}
        rival = Rival(anchor, metrics=noise.metrics, differences=against)
    return QualityInputs(model, "recipe", serving, {"": whole}, rival)


def refused_share(noise: Noise, num_days: int, draw: np.random.Generator, settings: Quality) -> float:
    """Returns the share of good days that are refused, in whole stretches of `STRETCH` days, each with a first anchor.

    Args:
      noise: The noise of each day's metrics.
      num_days: Number of days; a remainder of less than `STRETCH` is left out.
      draw: The random number generator.
      settings: The gate's bounds.
    """
    stretches = [days(noise, 0.0, STRETCH, draw, settings) for _ in range(num_days // STRETCH)]
    return float(np.mean([day.refused for stretch in stretches for day in stretch]))


def largest_loss(noise: Noise, decline: float, draw: np.random.Generator, settings: Quality) -> float:
    """Returns the largest loss of AUC that served in a decline of `NUM_DAYS` days."""
    return max(day.lost for day in days(noise, decline, NUM_DAYS, draw, settings))


def main() -> None:
    """Prints, by evaluation rows a day, the refused good days, and the loss in declines before they are stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--good-days", type=int, default=10_000, help=f"For each number of rows; a multiple of {STRETCH:,}."
    )
    parser.add_argument("--declines", type=int, default=300, help="Of each kind, for each number of rows.")
    arguments = parser.parse_args()
    if arguments.good_days <= 0 or arguments.good_days % STRETCH:
        parser.error(f"--good-days must be a positive multiple of {STRETCH:,}. Received: {arguments.good_days}")
    settings, draw = Quality(), np.random.default_rng(1)
    table = Table(box=None, pad_edge=False)
    table.add_column("evaluation rows a day", justify="right")
    table.add_column("AUC, ±", justify="right")
    table.add_column("refused of 1,000 good days", justify="right")
    for decline in DECLINES:
        table.add_column(f"-{decline:g} a day: largest loss, median (95 %)", justify="right")
        table.add_column(f"below {MAX_LOSS:g}", justify="right")
    for rows in ROWS:
        noise = noise_of(rows, draw)
        cells = [f"{rows:,}", f"{1.96 * math.sqrt(2) * noise.auc:.4f}"]
        cells.append(f"{1000 * refused_share(noise, arguments.good_days, draw, settings):.1f}")
        for decline in DECLINES:
            losses = [largest_loss(noise, decline, draw, settings) for _ in range(arguments.declines)]
            cells.append(f"{np.median(losses):.4f} ({np.quantile(losses, 0.95):.4f})")
            cells.append(f"{np.mean([loss < MAX_LOSS for loss in losses]):.1%}")
        table.add_row(*cells)
    console_for(sys.stdout).print(table)


if __name__ == "__main__":
    main()
