"""Each component's fingerprint covers exactly the modules that Python imports when the component runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tfx.dsl.components.common.resolver import Resolver

from components.fingerprint import PACKAGES, ROOT, SourceTree
from pipeline.create import create_pipeline
from pipeline.nodes.settings import RunSettings
from pipeline.workspace import Workspace
from tests.e2e.store import CONFIG
from transform.config.config_file import parse_config

#: Components that run only TFX's own code, whose version the lock file fixes.
WITHOUT_OURS = {"schema_gen", "example_validator"}

#: Modules that a component imports while it runs: in a function, or in a subprocess.
LATE = {
    "infra_validation": ("serving.dry_run.__main__", "serving.dry_run.worker_commands"),
}

#: Runs in a fresh interpreter: imports each component's entry points in a process of its own; prints our modules.
IMPORTER = """
import importlib, json, os, sys
import tensorflow, tensorflow_model_analysis, tfx.components
packages, entry_points = json.loads(sys.argv[1])
found = {}
for node, modules in entry_points.items():
    read, write = os.pipe()
    if os.fork() == 0:
        for module in modules:
            importlib.import_module(module)
        ours = [name for name in sys.modules if name.split(".")[0] in packages]
        os.write(write, json.dumps(ours).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        found[node] = json.loads(pipe.read())
    os.wait()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def entry_points(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """For each component, the names that its fingerprint is computed from; empty if it has no fingerprint."""
    raw = yaml.safe_load(Path(CONFIG).read_text(encoding="utf-8"))
    raw["tuning"] = {"ranges": {"training.deep_optimizer.learning_rate": {"choices": [0.01, 0.1]}}}
    settings = RunSettings("/data", Workspace.at(tmp_path_factory.mktemp("workspace")), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SourceTree, "fingerprint", lambda self, names: ",".join(names))
        components = create_pipeline(parse_config(raw, str(CONFIG)), settings).components
    found = {}
    for component in components:
        if isinstance(component, Resolver):  # resolvers are never cached
            continue
        properties = component.exec_properties
        custom_config = json.loads(properties.get("custom_config") or "null") or {}
        names = {**custom_config, **properties}.get("code_fingerprint", "")
        found[component.id] = names.split(",") if names else []
    return found


@pytest.fixture(scope="module")
def imported(entry_points: dict[str, list[str]]) -> dict[str, set[str]]:
    """For each component, the project's modules that Python has imported after the component's entry points."""
    modules = {
        node: [*(module_of(name) for name in names), *LATE.get(node, ())]
        for node, names in entry_points.items()
        if names
    }
    done = subprocess.run(
        [sys.executable, "-c", IMPORTER, json.dumps([PACKAGES, modules])],
        cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300,
    )  # fmt: skip
    return {node: set(names) for node, names in json.loads(done.stdout.splitlines()[-1]).items()}


def module_of(name: str) -> str:
    """Returns the module of a function or class; of a module, the module itself."""
    return name if (ROOT / f"{name.replace('.', '/')}.py").exists() else name.rpartition(".")[0]


def test_what_runs_our_code_has_a_fingerprint(entry_points: dict[str, list[str]]) -> None:
    assert {node for node, names in entry_points.items() if not names} == WITHOUT_OURS
    expected = {"evaluator", "progressive_validation", "row_gate", "data_validation", "data_gate", "tuner", "push"}
    assert expected < entry_points.keys()


@pytest.mark.slow
def test_an_edit_of_any_module_changes_the_fingerprints_of_the_components_that_import_it(
    entry_points: dict[str, list[str]], imported: dict[str, set[str]], tmp_path: Path
) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def fingerprints() -> dict[str, str]:
        tree = SourceTree(tmp_path)
        return {node: tree.fingerprint(entry_points[node]) for node in imported}

    before = fingerprints()
    expected, found = {}, {}
    for file in sorted(file for package in PACKAGES for file in (tmp_path / package).rglob("*.py")):
        module = ".".join(file.relative_to(tmp_path).with_suffix("").parts).removesuffix(".__init__")
        source = file.read_bytes()
        file.write_bytes(source + b"\n# a line\n")
        after = fingerprints()
        file.write_bytes(source)
        expected[module] = {node for node, modules in imported.items() if module in modules}
        found[module] = {node for node in imported if after[node] != before[node]}
    assert len(found) > 150
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "modules"),
    [
        (
            "evaluator",
            ("components.evaluation.metrics.bootstrap", "components.evaluation.progressive", "transform.example_keys"),
        ),
        ("row_gate", ("components.artifacts", "transform.errors")),
        (
            "infra_validation",
            ("serving.dry_run.worker_commands", "serving.dry_run.loading", "transform.config.infra_validation"),
        ),
        ("trainer", ("components.trainer_component", "trainer.training.step", "transform.config.settings")),
        (
            "example_gen",
            (
                "components.ingestion.stages.split",
                "components.ingestion.formats.delimited",
                "transform.config.sources",
            ),
        ),
    ],
)
def test_some_modules_that_a_component_runs_are_among_them(
    imported: dict[str, set[str]], node: str, modules: tuple[str, ...]
) -> None:
    assert set(modules) <= imported[node]
