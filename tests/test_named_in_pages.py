"""What a user reads in a finding or an error, or writes into a config, is in a page: ids, names, faults."""

from __future__ import annotations

import functools
import re

import pytest

from components.data_validation import decision
from components.quality_gate import rules
from tests.pages import DOCS, ROOT, text_of
from transform.config.evaluation import AT_K, HIGHER_IS_BETTER


@pytest.mark.parametrize("rule_id", sorted({i for rule in (*decision.RULES, *rules.RULES) for i in rule.ids}))
def test_a_rule_is_in_the_table_of_rules(rule_id: str) -> None:
    assert f"| `{rule_id}` |" in text_of(DOCS / "explanation" / "gates.md")


@pytest.mark.parametrize("metric", HIGHER_IS_BETTER)
def test_a_metric_is_among_the_config_s_keys(metric: str) -> None:
    name = f"{metric}@K" if metric in AT_K else metric
    assert f"`{name}`" in text_of(DOCS / "reference" / "config.md")


#: By fault, a part of what someone on call sees of it: of a sentence, or an alert's name.
FAULTS = {
    "killed by the system": "the dry run's process must not be killed from outside",
    "damaged manifest": "a version's manifest must ",
    "corrupt metadata": "ML Metadata's database must be an SQLite file that can be read",
    "full disk": "no space left on the disk of ",
    "database away": " is not available; once it is",
    "a gate that refuses": "refused",
    "a label log that is late": " has no file (",
    "a worker lost": "a worker of the Beam job ended before its work was done",
    "a port taken": "the REST port must be free",
    "a version that does not load": "VersionDoesNotLoad",
    "an outage of clients": "ServerIsDown",
    "a workspace moved": "a workspace must stay where its first run made it",
}


@functools.cache
def said() -> str:
    """What the code and the alerts say."""
    places = [ROOT / "deploy" / "prometheus" / "alerts.yaml"]
    for folder in ("components", "pipeline", "serving", "transform"):
        places += (ROOT / folder).rglob("*.py")
    return "".join(place.read_text(encoding="utf-8") for place in places)


def faults() -> list[list[str]]:
    """The cells of the rows of the table of twelve faults."""
    _, _, section = text_of(DOCS / "how_to" / "debug_a_failed_run.md").partition("\n## Twelve faults")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows[2:]]  # behind the head and its line


@pytest.mark.parametrize("seen", FAULTS.values(), ids=FAULTS)
def test_a_fault_leads_from_what_is_said_to_a_way_out(seen: str) -> None:
    assert seen in said()
    rows = [cells for cells in faults() if seen in cells[0]]
    assert rows
    assert all(cell.strip() for cells in rows for cell in cells)


def test_the_faults_are_twelve() -> None:
    assert len(faults()) == len(FAULTS) == 12
