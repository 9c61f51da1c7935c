"""A fingerprint changes with every edit of a module that may run, and with nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.fingerprint import PACKAGES, ROOT, SourceTree, code_fingerprint, fingerprint_of_all_code

#: The files of a small project.
FILES = {
    "requirements.lock": "numpy==1\n",
    "README.md": "A project.\n",
    "components/__init__.py": "",
    "components/gate.py": "import json\nimport numpy as np\n",
    "serving/__init__.py": "",
    "serving/dry/__init__.py": "",
    "serving/dry/__main__.py": "from . import talk\n",  # a relative import
    "serving/dry/talk.py": "",
    "serving/dry/unused.py": "",
    "trainer/__init__.py": "",
    "trainer/run.py": (
        "from transform import shapes\n"
        "from transform.names import name_of, other\n"
        "import transform.deep.inner as inner\n"
        "class A:\n"
        "  def f(self):\n"
        "    from trainer import late\n"
        "COMMAND = ['python', '-m', 'serving.dry']\n"
        "LABEL = 'transform'\n"
    ),
    "trainer/late.py": "from trainer import run\n",  # a cycle
    "trainer/unused.py": "",
    "transform/__init__.py": "",
    "transform/shapes.py": "",
    "transform/names.py": "name_of = other = 1\n",
    "transform/deep/__init__.py": "",
    "transform/deep/inner.py": "",
    "transform/deep/unused.py": "",
}

OF_RUN = {
    "serving", "serving.dry", "serving.dry.__main__", "serving.dry.talk",
    "trainer", "trainer.run", "trainer.late",
    "transform", "transform.shapes", "transform.names", "transform.deep", "transform.deep.inner",
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def module_of(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_the_closure_has_what_may_run(root: Path) -> None:
    assert SourceTree(root).closure(["trainer.run"]) == OF_RUN
    assert SourceTree(root).closure(["trainer.run.A"]) == OF_RUN
    assert SourceTree(root).closure(["components.gate"]) == {"components", "components.gate"}
    assert SourceTree(root).closure(["tfx.components.Evaluator"]) == frozenset()


def test_an_edit_of_a_module_changes_the_fingerprints_of_what_runs_it_alone(root: Path) -> None:
    def fingerprints() -> tuple[str, str, str]:
        tree = SourceTree(root)
        return tree.fingerprint(["trainer.run"]), tree.fingerprint(["components.gate"]), tree.fingerprint_of_all()

    before = fingerprints()
    for name in (name for name in FILES if name.endswith(".py")):
        source = (root / name).read_bytes()
        append(root / name, "\n# a line\n")
        changed = tuple(a != b for a, b in zip(fingerprints(), before, strict=True))
        (root / name).write_bytes(source)
        module = module_of(name)
        assert changed == (module in OF_RUN, module in {"components", "components.gate"}, True), name
    assert fingerprints() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "transform/deep/__init__.py").unlink(),
        lambda root: (root / "transform/names.py").rename(root / "transform/names2.py"),
        lambda root: append(root / "trainer/run.py", "import trainer.unused\n"),
        lambda root: append(root / "requirements.lock", "scipy==1\n"),
    ],
    ids=["removed", "renamed", "imported", "library"],
)
def test_other_changes_of_what_runs_are_seen(root: Path, change: Callable[[Path], object]) -> None:
    before = SourceTree(root).fingerprint(["trainer.run"])
    change(root)
    assert SourceTree(root).fingerprint(["trainer.run"]) != before


def test_text_moved_from_one_module_to_the_next_changes_it(root: Path) -> None:
    found = set()
    for first, second in (("x = 1\ny = 2\n", ""), ("x = 1\n", "y = 2\n")):
        (root / "transform/names.py").write_text(first, encoding="utf-8")
        (root / "transform/shapes.py").write_text(second, encoding="utf-8")
        found.add(SourceTree(root).fingerprint(["trainer.run"]))
    assert len(found) == 2


def test_what_is_not_python_does_not_change_it(root: Path) -> None:
    before = SourceTree(root).fingerprint(["trainer.run"]), SourceTree(root).fingerprint_of_all()
    append(root / "README.md", "A line.\n")
    (root / "trainer/README.md").write_text("A line.\n", encoding="utf-8")
    (root / "trainer/__pycache__").mkdir()
    (root / "trainer/__pycache__/run.cpython-311.pyc").write_bytes(b"\0")
    assert (SourceTree(root).fingerprint(["trainer.run"]), SourceTree(root).fingerprint_of_all()) == before


@pytest.mark.parametrize("name", ["trainer.no_such_module", "transform", "serving.no_package.module"])
def test_an_entry_point_that_is_not_there_is_an_error(root: Path, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"Received: {name}"):
        SourceTree(root).closure([name])


def test_a_copy_has_the_fingerprint_of_the_original(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    copied = SourceTree(tmp_path)
    assert copied.fingerprint(["trainer.run_fn.run_fn"]) == code_fingerprint("trainer.run_fn.run_fn")
    assert copied.fingerprint_of_all() == fingerprint_of_all_code()
