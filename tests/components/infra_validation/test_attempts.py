"""The tries of a dry run: which ends are tried again, and which value of a budget counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from components.infra_validation.attempts import KilledDryRunError, judge
from components.infra_validation.process import ProcessEndedError
from components.infra_validation.verdict import Latency, Measurements, Verdict
from transform.config.infra_validation import InfraValidation

SETTINGS = InfraValidation(max_latency_ms=100.0, max_memory_mb=900.0, max_size_mb=50.0)
#: A try: how the process ended, or the 95th percentile of the latency, the memory and the size.
Try = str | tuple[float, float, float]
GOOD = (50.0, 800.0, 10.0)


def attempts(*tries: Try, problem: str = "") -> Callable[[], Verdict]:
    """Returns a dry run whose tries end as given, one after the other."""
    left = iter(tries)

    def attempt() -> Verdict:
        one = next(left)
        if isinstance(one, str):
            raise ProcessEndedError(f"the model must load; its process ended by {one}", one)
        latency, memory, size = one
        cost = Measurements(1.0, size, memory, 100.0, (Latency(200, 1, 10.0, latency, latency),))
        return Verdict((problem,) if problem else (), cost, machine="others were busy")

    return attempt


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM"])
def test_a_process_that_others_killed_is_tried_again_twice(end: str) -> None:
    verdict = judge(SETTINGS, attempts(end, end, GOOD))
    assert (verdict.problems, verdict.may_change) == ((), False)
    assert verdict.tries == (f"the model must load; its process ended by {end}",) * 2
    with pytest.raises(KilledDryRunError, match=rf"Received: 3 tries in a row that were, .* by {end}\. This says "):
        judge(SETTINGS, attempts(end, end, end))


@pytest.mark.parametrize(
    ("end", "may_change"), [("SIGABRT", False), ("SIGSEGV", False), ("exit code 1", False), ("timeout", True)]
)
def test_the_same_end_twice_is_the_verdict(end: str, may_change: bool) -> None:
    sentence = f"the model must load; its process ended by {end}"
    verdict = judge(SETTINGS, attempts(end, end))
    assert (verdict.problems, verdict.tries, verdict.may_change) == ((sentence,), (sentence,), may_change)
    once = judge(SETTINGS, attempts(end, GOOD))
    assert (once.problems, once.tries) == ((), (sentence,))


def test_ends_of_other_kinds_are_counted_apart() -> None:
    verdict = judge(SETTINGS, attempts("SIGKILL", "SIGABRT", "SIGKILL", "timeout", GOOD))
    assert verdict.problems == ()
    assert len(verdict.tries) == 4
    twice = judge(SETTINGS, attempts("SIGABRT", "SIGKILL", "timeout", "SIGABRT"))
    assert twice.problems == ("the model must load; its process ended by SIGABRT",)


def test_a_good_model_is_measured_once() -> None:
    verdict = judge(SETTINGS, attempts(GOOD))
    assert (verdict.problems, verdict.tries, verdict.may_change) == ((), (), False)


LATENCY = "the 95th percentile of the time for 200 candidates must be at most 100 ms. Received: {} ms at 1 × 200"
MEMORY = "the memory of the model's process must be at most 900 MB. Received: {} MB"
BUSY = "; others were busy"


def test_the_best_of_three_measurements_counts() -> None:
    verdict = judge(SETTINGS, attempts((300, 800, 10), (101, 800, 10), (200, 800, 10)))
    assert verdict.problems == (LATENCY.format(101) + BUSY + " (the best of 3 measurements)",)
    assert verdict.tries == (LATENCY.format(300) + BUSY, LATENCY.format(101) + BUSY)
    assert verdict.may_change
    assert judge(SETTINGS, attempts((300, 800, 10), (200, 800, 10), GOOD)).problems == ()


def test_a_budget_that_was_kept_once_is_kept() -> None:
    """The latency is kept in the second measurement, the memory in the first one."""
    verdict = judge(SETTINGS, attempts((300, 800, 10), (50, 950, 10)))
    assert (verdict.problems, verdict.may_change) == ((), False)
    assert verdict.tries == (LATENCY.format(300) + BUSY,)
    both = judge(SETTINGS, attempts((300, 1000, 10), (200, 950, 10), (150, 990, 10)))
    best = " (the best of 3 measurements)"
    assert both.problems == (LATENCY.format(150) + BUSY + best, MEMORY.format(950) + BUSY + best)


def test_a_size_or_wrong_scores_are_not_measured_again() -> None:
    size = judge(SETTINGS, attempts((300, 800, 60)))
    assert size.problems[1] == "the size of the model's files must be at most 50 MB. Received: 60 MB"
    assert (size.tries, size.may_change) == ((), False)
    wrong = judge(SETTINGS, attempts((300, 800, 10), problem="scores differ"))
    assert wrong.problems == ("scores differ", LATENCY.format(300) + BUSY)
    assert (wrong.tries, wrong.may_change) == ((), False)
