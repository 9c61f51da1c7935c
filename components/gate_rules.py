"""The rules of a gate as one table: the ids of a rule's findings, and the function that finds.

`docs/how_to/extend.md` says how to add a rule. A rule's id is the config's key of its bound: what a person reads in a
finding is what to look up and to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from components.gate_records import Finding, Severity


class Rule(NamedTuple):
    """A rule.

    Attributes:
      ids: What `Finding.rule` of its findings may be: keys of the config, such as `drift.min_agreement`, or below them.
      check: Yields the findings; its docstring says what it finds. It takes what the gate gives to all of its rules.
    """

    ids: tuple[str, ...]
    check: Callable[..., Iterable[Finding]]

    def has(self, rule_id: str) -> bool:
        """Returns whether an id is of this rule."""
        return any(f"{rule_id}.".startswith(f"{known}.") for known in self.ids)


def apply_rules(rules: Iterable[Rule], order: Sequence[Severity], *inputs: object) -> list[Finding]:
    """Returns the findings of all rules by severity, and those of one severity in the order of the rules.

    Args:
      rules: The gate's rules.
      order: The severities of their findings, the first one first.
      *inputs: The arguments of each rule's `check`.
    """
    found: list[Finding] = []
    for rule in rules:
        of_rule = list(rule.check(*inputs))
        unknown = [finding.rule for finding in of_rule if not rule.has(finding.rule)]
        assert not unknown, f"the findings of {rule.ids} must be of their rule. Received: {unknown}"
        found += of_rule
    return sorted(found, key=lambda finding: order.index(finding.severity))
