"""What a user reads in a finding or writes into a config, a rule's id or a metric's name, is in a page."""

from __future__ import annotations

import pytest

from components.data_validation import decision
from components.quality_gate import rules
from tests.pages import DOCS, text_of
from transform.config.evaluation import AT_K, HIGHER_IS_BETTER


@pytest.mark.parametrize("rule_id", sorted({i for rule in (*decision.RULES, *rules.RULES) for i in rule.ids}))
def test_a_rule_is_in_the_table_of_rules(rule_id: str) -> None:
    assert f"| `{rule_id}` |" in text_of(DOCS / "explanation" / "gates.md")


@pytest.mark.parametrize("metric", HIGHER_IS_BETTER)
def test_a_metric_is_among_the_config_s_keys(metric: str) -> None:
    name = f"{metric}@K" if metric in AT_K else metric
    assert f"`{name}`" in text_of(DOCS / "reference" / "config.md")
