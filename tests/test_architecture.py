"""The architecture's rules: imports go one way, and no other distribution uses the packages' names."""

from __future__ import annotations

import ast
import graphlib
import importlib.metadata
import re
from collections.abc import Iterable

import pytest

from components.fingerprint import PACKAGES, imported_names
from tests.imports import ROOT, files_of, find_sources, imports_of

OURS = (*PACKAGES, "benchmarks", "deploy", "tests")

#: What each package may import of the project besides itself: packages or single modules.
ALLOWED: dict[str, tuple[str, ...]] = {
    "pipeline": (
        "components",
        "serving.model_server.command",
        "serving.load_test",
        "serving.model_server.protos",
        "serving.rank_service",
        "serving.ranking_client",
        "serving.serving_log",
        "trainer",
        "transform",
    ),
    "components": ("transform",),
    "trainer": ("transform",),
    "serving": (
        "transform.errors",
        "transform.example_keys",
        "transform.files.tfrecords",
        "transform.files.version_layout",
        "transform.signature_names",
    ),
    "transform": (),
}


def forbidden(modules: Iterable[str], package: str) -> list[str]:
    """The modules that the package must not import."""
    ours = [name for name in modules if name.split(".")[0] in OURS and name.split(".")[0] != package]
    return sorted(n for n in ours if not any(f"{n}.".startswith(f"{allowed}.") for allowed in ALLOWED[package]))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    wrong = {}
    for path in files_of(package):
        relative = path.relative_to(ROOT)
        modules = imported_names(path.read_bytes(), ".".join(relative.parent.parts))
        if found := forbidden(modules, package):
            wrong[relative.as_posix()] = found
    assert wrong == {}


@pytest.mark.parametrize(
    ("package", "source", "expected"),
    [
        ("transform", "from transform.errors import UserError", []),
        ("transform", "import trainer.model", ["trainer.model"]),
        ("transform", "import transformers", []),
        ("trainer", "from transform import settings", []),
        ("trainer", "def f():\n  from components import push", ["components.push"]),
        ("components", "from ..trainer import data", ["trainer.data"]),
        ("components.ingestion", "from . import rows", []),
        ("serving", "from transform.example_keys import LABEL", []),
        ("serving", "from transform import example_keys, signature_names", []),
        ("serving", "from transform import config", ["transform.config"]),
        ("pipeline", "import serving.dry_run, trainer.progress", ["serving.dry_run"]),
        ("pipeline", "from tests.transform.small_config import FILE", ["tests.transform.small_config.FILE"]),
    ],
)
def test_a_wrong_import_is_seen(package: str, source: str, expected: list[str]) -> None:
    assert forbidden(imported_names(source.encode(), package), package.split(".")[0]) == expected


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/explanation/architecture.md"])
def test_the_pages_say_what_serving_imports(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (sentence,) = re.findall(r"`serving` imports five modules of `transform`\s+only: (.*?)\.\s", text, re.DOTALL)
    assert tuple(re.findall(r"`(.*?)`", sentence)) == ALLOWED["serving"]


#: The rooms of the model server, each with those that it may import.
ROOMS: dict[str, tuple[str, ...]] = {"protocol": ("engine", "guard"), "engine": ("guard",), "guard": ()}


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_of_the_model_server_import_downward(room: str) -> None:
    package = "serving.model_server"
    allowed = tuple(f"{package}.{name}." for name in (room, *ROOMS[room], "errors", "logs", "protos"))
    for path in (ROOT / "serving/model_server" / room).rglob("*.py"):
        imported = imported_names(path.read_bytes(), f"{package}.{room}")
        assert [n for n in imported if n.startswith(package) and not f"{n}.".startswith(allowed)] == [], path


def test_no_module_imports_itself_by_way_of_others() -> None:
    imports = imports_of(find_sources(PACKAGES))
    assert imports["transform.graph.raw_values"] >= {"transform.config.component_settings", "transform.raw_texts"}
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules


def test_a_circle_for_type_checkers_alone_is_seen() -> None:
    lower = b"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  from transform.upper import Upper"
    sources = {
        "transform.lower": (lower, "transform"),
        "transform.upper": (b"from transform import lower", "transform"),
    }
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports_of(sources)).prepare()


def test_every_package_has_a_rule_and_modules() -> None:
    assert set(ALLOWED) == set(PACKAGES)
    assert all(files_of(package) for package in PACKAGES)


def test_there_is_no_utils() -> None:
    found = [p.relative_to(ROOT).as_posix() for package in OURS for p in (ROOT / package).rglob("util*.py")]
    assert found == []


#: Arguments of `subprocess` with which Python 3.11 calls fork in place of vfork, and so runs gRPC's fork handlers.
_FORKING = {"preexec_fn", "user", "group", "extra_groups"}


def forking_arguments(source: bytes) -> set[str]:
    """The arguments in `_FORKING` that a module passes to a function of `subprocess`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    ours = [call for call in calls if ast.unparse(call.func).startswith("subprocess.")]
    return {keyword.arg for call in ours for keyword in call.keywords if keyword.arg} & _FORKING


@pytest.mark.parametrize("package", OURS)
def test_no_subprocess_is_started_by_fork(package: str) -> None:
    forking = {path.name: found for path in files_of(package) if (found := forking_arguments(path.read_bytes()))}
    assert forking == {}, "gRPC's fork handlers sometimes kill the child: change the user by `setpriv`"


def test_a_subprocess_that_is_started_by_fork_is_seen() -> None:
    assert forking_arguments(b"subprocess.run(a, user='b', check=True)") == {"user"}
    assert forking_arguments(b"subprocess.Popen(a, preexec_fn=f, cwd=b)\nconnect(user='b')") == {"preexec_fn"}


def test_no_other_distribution_has_a_package_of_our_names() -> None:
    providers = importlib.metadata.packages_distributions()
    assert {name: set(providers.get(name, ())) for name in PACKAGES} == {
        name: {"wide-deep-ranker"} for name in PACKAGES
    }
    assert set(providers.get("configs", ())) <= {"wide-deep-ranker"}  # without modules: not in an editable install


def test_the_environment_has_all_of_the_lock_file() -> None:
    """Otherwise the test above would miss distributions."""
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    installed = {re.sub(r"[-_.]+", "-", d.name).lower() for d in importlib.metadata.distributions()}
    assert len(locked) > 100
    assert sorted(set(locked) - installed) == []
