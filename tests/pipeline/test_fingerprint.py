"""A fingerprint changes with every edit of the code it is of, and with nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import fingerprint
from pipeline.fingerprint import ROOT, code_fingerprint

PACKAGES = ("components", "pipeline", "serving", "trainer", "transform")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's code, of which fingerprints are taken."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    return tmp_path


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_a_copy_has_the_fingerprint_of_the_original(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_copy = code_fingerprint(*PACKAGES)
    monkeypatch.setattr(fingerprint, "ROOT", ROOT)
    assert in_copy == code_fingerprint(*PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_line_of_any_file_changes_the_package_and_no_other(tree: Path, package: str) -> None:
    before = {name: code_fingerprint(name) for name in PACKAGES}
    for path in sorted((tree / package).rglob("*.py")):
        append(path, "\n# a line\n")
        after = {name: code_fingerprint(name) for name in PACKAGES}
        assert after[package] != before[package], path
        assert {name: after[name] for name in PACKAGES if name != package} == {
            name: before[name] for name in PACKAGES if name != package
        }
        before = after


@pytest.mark.parametrize(
    "change",
    [
        lambda package: (package / "added.py").write_text("", encoding="utf-8"),
        lambda package: (package / "data.py").unlink(),
        lambda package: (package / "data.py").rename(package / "renamed.py"),
    ],
    ids=["added", "removed", "renamed"],
)
def test_a_file_added_removed_or_renamed_changes_it(tree: Path, change: Callable[[Path], object]) -> None:
    before = code_fingerprint("trainer")
    change(tree / "trainer")
    assert code_fingerprint("trainer") != before


def test_text_moved_from_one_file_to_the_next_changes_it(tree: Path) -> None:
    package = tree / "moved"
    package.mkdir()
    for first, second in (("x = 1\ny = 2\n", ""), ("x = 1\n", "y = 2\n")):
        (package / "a.py").write_text(first, encoding="utf-8")
        (package / "b.py").write_text(second, encoding="utf-8")
        if not second:
            before = code_fingerprint("moved")
    assert code_fingerprint("moved") != before


def test_what_is_not_python_does_not_change_it(tree: Path) -> None:
    before = code_fingerprint(*PACKAGES)
    append(tree / "README.md", "\nA line.\n")
    (tree / "trainer" / "README.md").write_text("A line.\n", encoding="utf-8")
    cache = tree / "trainer" / "__pycache__"
    cache.mkdir()
    (cache / "data.cpython-311.pyc").write_bytes(b"\0")
    assert code_fingerprint(*PACKAGES) == before


def test_a_single_file_is_fingerprinted_alone(tree: Path) -> None:
    before = code_fingerprint("components/gates.py")
    append(tree / "components" / "push.py", "\n# a line\n")
    assert code_fingerprint("components/gates.py") == before
    append(tree / "components" / "gates.py", "\n# a line\n")
    assert code_fingerprint("components/gates.py") != before


@pytest.mark.parametrize("place", ["no_such_package", "trainer/no_such_file.py", "empty"])
def test_a_place_without_python_is_an_error(tree: Path, place: str) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        code_fingerprint(place)


def test_another_version_of_a_library_changes_every_fingerprint(tree: Path) -> None:
    before = {name: code_fingerprint(name) for name in PACKAGES}
    append(tree / "requirements.lock", "# a version\n")
    assert all(code_fingerprint(name) != before[name] for name in PACKAGES)
