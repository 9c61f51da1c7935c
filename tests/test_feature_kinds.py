"""A kind of features is declared once: each package's table has all kinds, and nothing else compares a kind's name."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from typing import get_args

import pytest

from components.fingerprint import PACKAGES, ROOT, SourceTree
from components.ingestion.example_rows import ENTRIES
from transform.feature import Feature
from transform.feature_kinds import KINDS, OPTIONS, KindName

NAMES = frozenset(get_args(KindName))

#: The tables, by module: what each package does with a kind.
TABLES = {
    "transform/feature_kinds.py": {"KINDS"},
    "transform/graph/feature_kinds.py": {"KINDS_IN_GRAPH"},
    "trainer/wide_deep/feature_kinds.py": {"KINDS_IN_MODEL"},
}


def _texts(node: ast.AST) -> set[str]:
    constants = (found for found in ast.walk(node) if isinstance(found, ast.Constant))
    return {found.value for found in constants if isinstance(found.value, str)}


def tables(source: str) -> dict[str, frozenset[str]]:
    """The kinds that each table of a module has, by the table's name: of dictionaries with kinds as keys."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            keys = {name for key in node.value.keys if key is not None for name in _texts(key)}
            if len(keys & NAMES) > 1:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                found[ast.unparse(target)] = frozenset(keys)
    return found


def branches(source: str) -> Iterator[str]:
    """Where a module compares a `kind` with the name of a kind of features, or has a case for it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            subjects, texts = [node.left, *node.comparators], _texts(node)
        elif isinstance(node, ast.Match):
            subjects, texts = [node.subject], {text for case in node.cases for text in _texts(case.pattern)}
        else:
            continue
        if texts & NAMES and any(ast.unparse(subject).rpartition(".")[2] == "kind" for subject in subjects):
            yield ast.unparse(node).partition("\n")[0]


def _modules() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_every_table_has_all_kinds() -> None:
    found = {module: names for module, source in _modules() if (names := tables(source))}
    assert {module: set(names) for module, names in found.items()} == TABLES
    assert {kinds for names in found.values() for kinds in names.values()} == {NAMES}


def test_the_values_of_every_kind_are_serialized() -> None:
    assert {kind.column for kind in KINDS.values()} <= ENTRIES.keys()


def test_no_module_branches_on_the_name_of_a_kind() -> None:
    assert {module: found for module, source in _modules() if (found := [*branches(source)])} == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("if f.kind == 'numeric': pass", ["f.kind == 'numeric'"]),
        ("x = f.kind in ('categorical', 'other')", ["f.kind in ('categorical', 'other')"]),
        ("match f.kind:\n  case 'numeric': pass", ["match f.kind:"]),
        ("stored == 'numeric'", []),
        ("guess = Guess('numeric')", []),
    ],
)
def test_a_branch_is_seen(source: str, expected: list[str]) -> None:
    assert [*branches(source)] == expected


def test_an_incomplete_table_is_seen() -> None:
    source = "T: Any = {'numeric': 1, 'categorical': 2}\nU = {'numeric': 2}"
    assert tables(source) == {"T": frozenset({"numeric", "categorical"})}


def test_every_option_is_a_field_of_a_feature_and_of_a_kind() -> None:
    assert set(KINDS) == NAMES
    assert set(OPTIONS) == {option for kind in KINDS.values() for option in kind.options}
    assert set(OPTIONS) <= {field.name for field in dataclasses.fields(Feature)}


def test_ingestion_is_made_of_no_module_of_the_model() -> None:
    """Otherwise a change of the trainer's table, or of the graph's, would ingest all spans again."""
    modules = SourceTree(ROOT).closure(["components.ingestion.component"])
    assert "transform.feature_kinds" in modules
    assert [m for m in modules if m.startswith(("trainer", "transform.graph", "transform.preprocessing"))] == []
