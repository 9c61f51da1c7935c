"""Thirty bad days and twenty-two good ones of a simulated store, each judged by the gate on data without a run.

    python -m tests.soak.bad_days [--only WORDS]

A store is simulated for 12 days of 30,000 impressions; a model is trained on each after the days before, as the
pipeline trains. The last nine days are the reference spans, or the last two where a store is new. The tables of
`tests/soak/days` damage or change the 13th day. Prints a line for each case: expected and received, and the sentence
that names the cause. Exits with code 1 if a case of the table ends otherwise, or if more than one good day is stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.good_days import CONFIG, Day, columns_of, combine_evidence
from components.data_validation.decision import decide
from components.data_validation.evidence import SpanEvidence
from components.data_validation.label_rules.shares import label_anchor
from components.gate_records import Finding
from tests.soak.days.bad import BAD_DAYS, BadDay
from tests.soak.days.damages import slow_loss
from tests.soak.days.good import GOOD_DAYS, GoodDay
from tests.soak.days.market import Market, ServingModel, clean_days
from transform.config.config_file import load_config

_SEED = 11
_NUM_TRAINED, _NUM_REFERENCES, _NUM_FIRST = 3, 9, 2
_NUM_SLOW = 40


class Gate:
    """The gate on data of a store, with its reference spans.

    Attributes:
      market: The store, at the day to be judged.
      days: The days before it.
    """

    def __init__(self) -> None:
        self._config = load_config(CONFIG)
        self.market = Market(_SEED)
        self.days = list(clean_days(self.market, _NUM_TRAINED + _NUM_REFERENCES))
        self._model = ServingModel(columns_of(self.days[0], self._config))
        self._earlier: list[SpanEvidence] = []
        for day in self.days[1:]:
            if day.number > _NUM_TRAINED:
                self._let_through(self._measure(day))
            self._model.learn(columns_of(day, self._config))

    def _measure(self, day: Day) -> SpanEvidence:
        columns = columns_of(day, self._config)
        scored = dataclasses.replace(day, scores=self._model.scores(columns))
        return combine_evidence(scored, self._config, columns)

    def _let_through(self, measured: SpanEvidence) -> None:
        self._earlier.append(self._with_anchor(measured))

    def _with_anchor(self, measured: SpanEvidence) -> SpanEvidence:
        anchor = label_anchor(measured, self._earlier, self._config.drift)
        return dataclasses.replace(measured, label_anchor=anchor)

    def judge(self, day: Day, *, is_new: bool = False) -> list[Finding]:
        """Returns the findings of a day; `is_new` if the store has two reference spans only."""
        if rejected := list(self._row_gate(day)):
            return rejected
        earlier = self._earlier[-_NUM_FIRST:] if is_new else self._earlier
        measured = self._measure(day)
        return decide(measured if is_new else self._with_anchor(measured), earlier, self._config.drift)

    def _row_gate(self, day: Day) -> Iterator[Finding]:
        """Yields what the gate on rows stops before: a table more of whose rows than allowed repeat a key."""
        for name, table in {"users": day.users, "catalog": day.catalog}.items():
            keys = table[self._config.sources.tables[name].key]
            share = 1 - len(keys.unique()) / len(keys)
            if share > self._config.ingestion.max_rejected_fraction:
                sentence = f"{share:.1%} of the rows of {name} have the key of another row"
                yield Finding("row_gate", "ingestion", "stop", "duplicate_key", share, None, len(keys), sentence)

    def judge_next(self, day: Day) -> list[Finding]:
        """Returns the findings of a day, and lets it through unless one stops it."""
        measured = self._with_anchor(self._measure(day))
        found = decide(measured, self._earlier, self._config.drift)
        if not _is_stopped(found):
            self._earlier.append(measured)
            self._model.learn(columns_of(day, self._config))
        return found


def _is_stopped(found: Iterable[Finding]) -> bool:
    return any(f.severity == "stop" for f in found)


def received(found: Sequence[Finding], says: str) -> tuple[str, str]:
    """Returns `stop`, `warn` or `silent`, and the sentence that names the cause; without one it is `silent`."""
    said = [f for f in found if f.severity in ("stop", "warn") and re.search(says, f"{f.subject}: {f.sentence}")]
    if not said:
        return "silent", "; ".join(f"({f.severity}) {f.subject}: {f.sentence}" for f in found)
    return "stop" if _is_stopped(found) else "warn", said[0].sentence


def _report(name: str, kind: str, expected: str, ended: str, sentence: str) -> str:
    """Prints how a bad day ended; returns `wrong` if it is not what the table says, else how it ended."""
    mark = "ok   " if ended == expected else "WRONG"
    print(f"{mark} {name}: {kind}: expected {expected}, received {ended}: {sentence or 'nothing is said'}", flush=True)
    return ended if ended == expected else "wrong"


def _try_bad_day(case: BadDay, gate: Gate) -> str:
    found = gate.judge(case.breaks(gate.market.day(), gate.days), is_new=case.is_new)
    return _report(f"bad {case.number}", case.kind, case.expected, *received(found, case.says))


def _try_slow_loss(gate: Gate) -> str:
    """Judges a series of days of which each has 3 % less of the labels, up to the day that is stopped."""
    kind, warned = "3 % more of the labels lost each day", 0
    for number in range(1, _NUM_SLOW + 1):
        found = gate.judge_next(slow_loss(gate.market.day(), number))
        warned = warned or number * any(f.subject == "label" for f in found)
        if _is_stopped(found):
            sentence = f"warned on day {warned}, stopped on day {number}: {found[0].sentence}"
            return _report("bad 15", kind, "stop", "stop", sentence)
        gate.market.advance()
    return _report("bad 15", kind, "stop", "silent", "")


def _try_good_day(case: GoodDay, gate: Gate) -> bool:
    """Prints what is said of a good day; returns whether it is stopped."""
    found = gate.judge(case.draw(gate.market))
    is_stopped = _is_stopped(found)
    said = "; ".join(f"({f.severity}) {f.subject}: {f.sentence}" for f in found)
    print(f"{'STOP ' if is_stopped else 'ok   '} good {case.number}: {case.kind}: {said or 'nothing'}", flush=True)
    return is_stopped


def main() -> None:
    """Prints each case, and ends with code 1 if one is not as the table says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a regular expression; only cases whose names have it")
    only = parser.parse_args().only
    gate = Gate()
    ended: dict[str, set[str]] = {}  # by number, over its variants
    for case in BAD_DAYS:
        if re.search(only, f"bad {case.number}: {case.kind}"):
            ended.setdefault(case.number.rstrip("b"), set()).add(_try_bad_day(case, gate))
    good = [_try_good_day(case, gate) for case in GOOD_DAYS if re.search(only, f"good {case.number}: {case.kind}")]
    if re.search(only, "bad 15: slow loss"):
        ended["15"] = {_try_slow_loss(gate)}
    wrong = [number for number, results in ended.items() if "wrong" in results]
    told = sum(results <= {"stop", "warn"} for results in ended.values())
    print(f"{told} of {len(ended)} bad days are stopped, or warned of with their true cause")
    print(f"{len(wrong)} end otherwise than the table says; {sum(good)} of {len(good)} good days are stopped")
    sys.exit(bool(wrong) or sum(good) > 1)


if __name__ == "__main__":
    main()
