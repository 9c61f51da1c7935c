"""One sentence for the findings of one cause: the slices for which a rule of the gate on quality says the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from components.gate_records import Finding

#: The config's keys of the rules on slices.
_SLICE_RULES = (
    "evaluation.min_slice_examples",
    "evaluation.min_slice_positives",
    "evaluation.slice_thresholds",
    "evaluation.slices",
)

#: The number of other slices that a sentence names; the run's report has all.
MAX_NAMED = 8

#: The number of subjects that the one line of a rule names.
_MAX_SUBJECTS = 3

#: What a finding of a severity means.
WORDS = {"stop": "stops the run", "refuse": "refuses the model", "warn": "warns", "cannot_judge": "cannot judge"}

#: What rules with findings of a severity do.
OF_RULES = {"stop": "stopping", "refuse": "refusing", "warn": "warning", "cannot_judge": "cannot judge yet"}

_VERBS = {"stop": "stops the run for", "refuse": "refuses for", "warn": "warns of", "cannot_judge": "cannot judge"}


def by_rule(found: Iterable[Finding]) -> Iterator[str]:
    """Yields a line for each rule and severity: the sentence of a single finding, else what the findings are about."""
    groups: dict[object, list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.gate, finding.rule, finding.severity), []).append(finding)
    for first, *others in groups.values():
        if others:
            places = [_place(finding) for finding in (first, *others)]
            named, left = ", ".join(places[:_MAX_SUBJECTS]), len(places) - _MAX_SUBJECTS
            more = f" and {left} more" if left > 0 else ""
            yield f"{first.rule} {_VERBS[first.severity]} {named}{more}: see the report"
        else:
            yield first.sentence


def united(found: Iterable[Finding], others_at: str = "in the report") -> list[Finding]:
    """Returns findings with one in place of those that say the same of several slices, at the place of the first.

    Findings say the same if they have the same rule and severity, such as slices with too few examples. The first one's
    sentence is continued by the number and the names of the others; of more than eight, it says that the rest is at
    `others_at`.
    """
    groups: dict[object, list[Finding]] = {}
    for number, finding in enumerate(found):
        key = (finding.gate, finding.rule, finding.severity) if _is_of_slice(finding) else number
        groups.setdefault(key, []).append(finding)
    return [_one(first, others, others_at) for first, *others in groups.values()]


def _place(finding: Finding) -> str:
    """Returns the slice in a finding's subject: `country = US` of `auc where country = US`."""
    return finding.subject.rpartition(" where ")[2]


def _is_of_slice(finding: Finding) -> bool:
    return finding.rule.startswith(_SLICE_RULES) and " " in _place(finding)  # a feature's name has no space


def _one(first: Finding, others: list[Finding], others_at: str) -> Finding:
    if not others:
        return first
    places = [_place(finding) for finding in others]
    left = f" and {len(places) - MAX_NAMED} more, {others_at}" if len(places) > MAX_NAMED else ""
    slices = "1 other slice" if len(places) == 1 else f"{len(places)} other slices"
    sentence = f"{first.sentence}; likewise in {slices}: {', '.join(places[:MAX_NAMED])}{left}"
    return dataclasses.replace(first, sentence=sentence)
