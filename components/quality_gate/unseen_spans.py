"""The rule on unseen spans: whether models keep their quality on the first span that they were not trained on."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from components.gate_records import Finding
from components.quality_gate.inputs import Case
from components.quality_gate.judgement import GATE
from components.quality_gate.pooling import BEYOND_CHANCE, count_of_spans
from transform.config.quality import Quality


@dataclasses.dataclass(frozen=True)
class _Step:
    """How much worse a model was on its first unseen span than on the span it was trained on.

    Attributes:
      calibration: The increase of the absolute value of its log calibration.
      logloss: The increase of its log loss, as a share of the entropy of the span's label.
    """

    calibration: float
    logloss: float


def on_unseen_spans(case: Case) -> Iterator[Finding]:
    """Refuses a model if earlier models of the same config and code were worse on unseen spans than on their own.

    If the model that serves was trained with another config or code, its losses only cause a warning: they must not
    block a repair.
    """
    current, settings = case.current, case.settings
    if not current.serving_uri:
        return
    by_recipe = _steps(case)
    rows = current.whole.num_examples
    steps = by_recipe.get(current.recipe, [])
    if len(steps) < settings.min_spans:
        sentence = (
            "whether models of this config and code keep their quality on unseen spans cannot be judged yet: "
            f"{len(steps)} of {settings.min_spans} spans (quality.min_spans)"
        )
        yield Finding(GATE, "quality.min_spans", "cannot_judge", "unseen spans", None, None, rows, sentence)
    for subject, rule, value, bound, measured in _worse_steps(steps, settings):
        sentence = (
            f"models of this config and code: {measured}. A change of either is judged anew; "
            "`wdr run --force-push --reason TEXT` pushes this one"
        )
        yield Finding(GATE, rule, "refuse", subject, value, bound, rows, sentence)
    recipe = next((e.inputs.recipe for e in case.earlier if e.inputs.model_uri == current.serving_uri), current.recipe)
    if recipe != current.recipe:
        for subject, rule, value, bound, measured in _worse_steps(by_recipe.get(recipe, []), settings):
            sentence = (
                f"the model that serves, made by another config or code: {measured}. If the candidate model is not "
                "pushed, `wdr models rollback --reason TEXT` may be right"
            )
            yield Finding(GATE, rule, "warn", subject, value, bound, rows, sentence)


def _worse_steps(steps: Sequence[_Step], settings: Quality) -> Iterator[tuple[str, str, float, float, str]]:
    """Yields what was worse on unseen spans beyond chance: the metric, its rule, the value, the bound and a text."""
    if len(steps) < settings.min_spans:
        return
    bounds = {
        "calibration": ("quality.max_unseen_calibration_loss", settings.max_unseen_calibration_loss),
        "logloss": ("quality.max_unseen_logloss_rise", settings.max_unseen_logloss_rise),
    }
    for name, (rule, bound) in bounds.items():
        values = [getattr(step, name) for step in steps]
        mean = statistics.fmean(values)
        if mean > bound and mean > BEYOND_CHANCE * statistics.stdev(values) / math.sqrt(len(values)):
            words = (
                f"{name} may be worse on the first unseen span than on a model's own by at most {bound:.0%} "
                f"in the mean ({rule}). Received: {mean:.1%} over {count_of_spans(len(values))}"
            )
            yield name, rule, mean, bound, words


def _steps(case: Case) -> dict[str, list[_Step]]:
    """Returns, by recipe, the steps of the models that first served within the last spans."""
    own = {e.inputs.model_uri: e for e in case.earlier}
    met: set[str] = set()
    found: dict[str, list[_Step]] = {}
    for number, inputs in [*((e.span, e.inputs) for e in case.earlier), (case.span, case.current)]:
        pushed = own.get(inputs.serving_uri)
        if pushed is None or pushed.span >= number or inputs.serving_uri in met:
            continue
        met.add(inputs.serving_uri)
        step = _step(pushed.inputs.whole.metrics, inputs.whole.baseline)
        if step is not None and number > case.span - case.settings.pool_spans:
            found.setdefault(pushed.inputs.recipe, []).append(step)
    return found


def _step(own: Mapping[str, float], unseen: Mapping[str, float]) -> _Step | None:
    """Returns the step between two measurements of a model; None if one of them lacks a label."""
    names = ("calibration", "logloss", "mean_label")
    if not all(math.isfinite(metrics.get(name, math.nan)) for name in names for metrics in (own, unseen)):
        return None
    if not all(0 < metrics["mean_label"] < 1 and metrics["calibration"] > 0 for metrics in (own, unseen)):
        return None
    return _Step(
        abs(math.log(unseen["calibration"])) - abs(math.log(own["calibration"])),
        unseen["logloss"] / _entropy(unseen["mean_label"]) - own["logloss"] / _entropy(own["mean_label"]),
    )


def _entropy(rate: float) -> float:
    """Returns the log loss, in nats, of a model that predicts the mean label for every row."""
    return -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)
