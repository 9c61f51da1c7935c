"""The tries of a dry run: what others on the machine did to one try is no verdict on the model.

Without this, a model would be refused for good by one moment: the verdict comes from the cache afterwards.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable

from absl import logging

from components.infra_validation.budgets import MissedBudget, missed_budgets
from components.infra_validation.process import ProcessEndedError
from components.infra_validation.verdict import Verdict
from transform.config.infra_validation import InfraValidation
from transform.errors import UserError

#: The number of tries whose process others ended, after which the node fails; more of them only prolong an outage.
_MAX_KILLED = 3

#: A model whose process ends twice in the same way is not fit.
_SAME_ENDS = 2

#: The number of measurements that refuse a model for its time or memory, if each of them does.
_MEASUREMENTS = 3


class KilledDryRunError(UserError):
    """Others killed a model's process in each try, which says nothing about the model."""


def judge(settings: InfraValidation, attempt: Callable[[], Verdict]) -> Verdict:
    """Tries a dry run until its verdict is about the model, not about what else the machine did.

    - A process that others ended, as by SIGKILL, is tried again twice.
    - A process that ended otherwise, or did not answer in time, is tried again; the same end twice is the verdict.
    - A model that exceeds budgets of time or memory alone is measured up to three times; the best value of each counts.

    Args:
      settings: The budgets.
      attempt: Runs the model once; raises ProcessEndedError if its process ends.

    Returns:
      The verdict, with the budgets' problems and the earlier tries.

    Raises:
      KilledDryRunError: If others ended the process in each of three tries.
    """
    ends: collections.Counter[str] = collections.Counter()
    tries: list[str] = []
    measured: list[list[MissedBudget]] = []
    while True:
        try:
            verdict = attempt()
        except ProcessEndedError as error:
            kind = "others" if error.is_from_outside else error.end
            ends[kind] += 1
            if error.is_from_outside and ends[kind] == _MAX_KILLED:
                raise _killed(error) from error
            if not error.is_from_outside and ends[kind] == _SAME_ENDS:
                timed_out = error.end == "timeout"
                return Verdict((str(error),), tries=tuple(tries), may_change=timed_out)
            tries.append(str(error))
        else:
            measured.append(list(_missed(settings, verdict)))
            best = _best(measured)
            if not best or verdict.problems or len(measured) == _MEASUREMENTS or not all(m.varies for m in best):
                return _with_budgets(verdict, best, tries, len(measured))
            tries += [miss.sentence for miss in measured[-1]]
        logging.warning("the dry run is tried again: %s", tries[-1])


def _missed(settings: InfraValidation, verdict: Verdict) -> Iterable[MissedBudget]:
    """Yields the missed budgets; those that vary say what else the machine did."""
    if verdict.candidate is None:
        return
    for miss in missed_budgets(settings, verdict.candidate, verdict.baseline):
        yield miss._replace(sentence=f"{miss.sentence}; {verdict.machine}") if miss.varies else miss


def _best(measured: list[list[MissedBudget]]) -> list[MissedBudget]:
    """Returns the budgets that each measurement missed, each with the lowest value received."""
    by_cost = [{miss.what: miss for miss in of_one} for of_one in measured]
    always = [what for what in by_cost[0] if all(what in of_one for of_one in by_cost)]
    return [min((of_one[what] for of_one in by_cost), key=lambda miss: miss.excess) for what in always]


def _with_budgets(verdict: Verdict, best: list[MissedBudget], tries: list[str], number: int) -> Verdict:
    """Returns a verdict with the missed budgets among its problems."""
    suffix = f" (the best of {number} measurements)" if number > 1 else ""
    sentences = [miss.sentence + suffix if miss.varies else miss.sentence for miss in best]
    return dataclasses.replace(
        verdict,
        problems=(*verdict.problems, *sentences),
        tries=tuple(tries),
        may_change=not verdict.problems and bool(best) and all(miss.varies for miss in best),
    )


def _killed(error: ProcessEndedError) -> KilledDryRunError:
    return KilledDryRunError(
        f"the dry run's process must not be killed from outside. Received: {_MAX_KILLED} tries in a row that were, "
        f"the last one: {error}. This says nothing about the model: free memory, or leave the machine to this run, "
        "then run the same command again to continue"
    )
