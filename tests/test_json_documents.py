"""A document is read through its validator: every other place that parses JSON is known, with what it parses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.fingerprint import PACKAGES

ROOT = Path(__file__).parents[1]

#: Modules that parse JSON themselves, and what. None of it is a document of `tests.reference_pages.json_documents`, but
#: for those whose entry says why it cannot be read through the document's validator.
OTHER_JSON = {
    "benchmarks/model_server.py": "the model server's log",
    "benchmarks/row_nodes.py": "its own measurements",
    "benchmarks/scale.py": "its own measurements",
    "benchmarks/scale_ingestion.py": "its own config, with another log format",
    "benchmarks/served_ingestion.py": "its own config, with another log format",
    "benchmarks/serving_load.py": "the output of `wdr load-test`",
    "components/data_validation/measuring.py": "its own config, with the first names of its keys",
    "components/evaluation/executor.py": "an execution's property with the names of splits",
    "components/evaluation/plan.py": "the settings of a metric, in TFMA's config",
    "components/quality_gate/inputs.py": "its own output, as plain values",
    "components/infra_validation/process.py": "answers of the dry run's process",
    "components/ingestion/component.py": "an execution's property with its input files",
    "components/ingestion/formats/jsonl.py": "a row of a log",
    "components/model_store/manifest.py": "whether a manifest is of other software",
    "components/model_store/served_models.py": "the config of a version or of a training, of any release",
    "components/statistics/component.py": "execution properties with names of splits",
    "components/trainer_component.py": "the Trainer's `custom_config`",
    "components/transform_executor/given.py": "the Transform's `custom_config`",
    "pipeline/check/defaults.py": "the config of a version, of any release",
    "pipeline/cli/ranking.py": "an argument",
    "pipeline/compile/airflow_dag.py": "the topology: Airflow's environment has none of this project's modules",
    "pipeline/compile/compiled.py": "the code that a topology of any release was compiled with",
    "pipeline/registry/diff.py": "the config of a version, of any release",
    "pipeline/registry/record.py": "an execution's property with its input files",
    "serving/dry_run/worker_commands.py": "questions to the dry run's process",
    "serving/model_server/engine/version_files.py": "a manifest",
    "serving/rank_service/parsing.py": "a request's body, which its model validates",
    "serving/ranking_client/settings.py": "the client's settings: its wheel has no validator of documents",
    "transform/config/tuning.py": "a value of the Tuner",
    "trainer/warm_start/files.py": "the index of warm-start files",
    "transform/config/component_settings.py": "the config of a version, of any release since 0.2.0",
    "transform/documents.py": "every document: this is the validator",
}

_PARSERS = {"json.load", "json.loads", "pydantic_core.from_json", "orjson.loads"}


def parsers_used(source: str) -> set[str]:
    """The names of `_PARSERS` that a module uses, whatever it calls them."""
    return _PARSERS & set(_used_names(ast.parse(source)))


def _used_names(tree: ast.Module) -> Iterator[str]:
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{modules.get(node.value.id, node.value.id)}.{node.attr}"


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks", "deploy"])
def test_json_is_parsed_only_where_it_is_known_not_to_be_a_document(package: str) -> None:
    using = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*.py")
        if parsers_used(path.read_text(encoding="utf-8"))
    }
    assert using - OTHER_JSON.keys() == set(), "read a document through `transform.documents`; add what else it parses"


def test_the_list_names_modules_that_there_are() -> None:
    assert [name for name in OTHER_JSON if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import json\njson.loads(x)", {"json.loads"}),
        ("import json as j\ndef f():\n  return j.load(x)", {"json.load"}),
        ("from json import loads as parse\nparse(x)", {"json.loads"}),
        ("import json\nmap(json.loads, lines)", {"json.loads"}),
        ("def f():\n  import orjson\n  orjson.loads(x)", {"orjson.loads"}),
        ("import json\njson.dumps(x)", set()),
        ("yaml.load(x)", set()),
    ],
)
def test_a_parser_is_seen(source: str, expected: set[str]) -> None:
    assert parsers_used(source) == expected
