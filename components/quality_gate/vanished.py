"""The rule on slices that have vanished: warns of those without examples where many are expected."""

from __future__ import annotations

from collections.abc import Iterator

from components.evaluation.results import EvaluationResult
from components.gate_records import Finding
from components.quality_gate.inputs import Case
from components.quality_gate.judgement import GATE
from transform.config.evaluation import split_slice

#: The config's key of this rule.
SLICES = "evaluation.slices"

#: A slice that had examples in earlier spans may have none by chance if fewer units than this are expected: with 30
#: expected units, such as users, the probability is e^-30.
MIN_EXPECTED_UNITS = 30


def vanished_slices(case: Case) -> Iterator[Finding]:
    """Warns of a feature without a value, by which slices are made, or else of each of its slices without examples.

    A slice is expected if every earlier span has examples of it; so a slice with examples on some days only, such as a
    weekday, is not reported.
    """
    measured = case.current.measured
    features = list(dict.fromkeys(split_slice(name)[0] for name in case.evaluation.slices))
    present = {_feature_of(name) for name in measured if name}.intersection(features)
    for feature in features:
        if feature not in present:
            yield _none(feature, f"no example has a value of `{feature}`, by which slices are made", measured[""])
    earlier = [e.inputs.measured for e in case.earlier]
    if not earlier:
        return
    for name in sorted(set.intersection(*(set(of_span) for of_span in earlier)) - set(measured)):
        shares = (of_span[name].num_units / max(of_span[""].num_units, 1) for of_span in earlier)
        if _feature_of(name) in present and min(shares) * measured[""].num_units >= MIN_EXPECTED_UNITS:
            last = earlier[-1][name].num_examples
            yield _none(name, f"no example is where {name}; the last span had {last:,}", measured[""])


def _feature_of(slice_name: str) -> str:
    """Returns the feature in a slice's name: `country` of `country = US`, `age_days` of `age_days < 7`."""
    return slice_name.split(" ", 1)[0]


def _none(subject: str, sentence: str, whole: EvaluationResult) -> Finding:
    return Finding(GATE, SLICES, "warn", subject, 0.0, None, whole.num_examples, sentence)
