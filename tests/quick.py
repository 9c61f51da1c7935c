"""`make quick`: the fast tests of the folders that a change touches, and of the modules that import from them.

A change is what differs from the branch that it will land on, committed or not, and the new files that git does not
ignore. The tests of a folder are the test files that import one of its modules or lie in the folder of `tests/` that
mirrors it. The tests of a file that is no module, such as a config or a page, are the test files that name it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

import pytest

from components.fingerprint import PACKAGES
from tests.imports import ROOT, find_sources, imports_of

#: The branches that a change lands on; the first that exists is compared with.
_BRANCHES = ("origin/main", "main")


def changed_files(base: str) -> list[str]:
    """The paths that differ from where this branch left `base`, of which some may no longer exist."""
    start = _git("merge-base", "HEAD", base)
    return sorted({*_git("diff", "--name-only", start[0]), *_git("ls-files", "--others", "--exclude-standard")})


def files_to_run(changed: Collection[str], sources: Mapping[str, tuple[bytes, str]]) -> list[str]:
    """The paths of the tests of changed files.

    Args:
      changed: Paths below the project's folder.
      sources: The project's modules, tests among them, as `tests.imports.find_sources` returns them.

    Returns:
      Paths: first the tests of the changed folders, then those of the modules that import from these folders.
    """
    imports = imports_of(sources)
    modules = {_module(path) for path in changed if path.endswith(".py")}
    folders = {module.rpartition(".")[0] for module in modules if module.partition(".")[0] != "tests"}
    touched = {module for module in imports if module in modules or module.rpartition(".")[0] in folders}
    importers = {module for module, names in imports.items() if names & touched} - touched
    named = [PurePosixPath(path).name.encode() for path in changed if not path.endswith(".py")]

    def is_first(test: str) -> bool:
        mirrored = test.rpartition(".")[0].removeprefix("tests.") in folders
        return mirrored or test in touched or bool(imports[test] & touched) or any(n in sources[test][0] for n in named)

    tests = sorted(m for m in imports if m.startswith("tests.") and m.rpartition(".")[2].startswith("test_"))
    first = [test for test in tests if is_first(test)]
    then = [test for test in tests if test not in first and imports[test] & importers]
    return [f"{test.replace('.', '/')}.py" for test in first + then]


class FileTimes:
    """A plugin of pytest that ends a run's output with the seconds that each file's tests have taken."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid.partition("::")[0]] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("seconds by file")
        for path, seconds in sorted(self._seconds.items(), key=lambda item: -item[1]):
            terminalreporter.line(f"{seconds:7.1f} {path}")


def _git(*words: str) -> list[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _default_base() -> str:
    known = _git("for-each-ref", "--format=%(refname:short)")
    return next((name for name in _BRANCHES if name in known), "HEAD")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.quick", description="Tests what a change touches.")
    parser.add_argument("--base", default=_default_base(), help="the branch that the change lands on")
    parser.add_argument("--list", action="store_true", help="print the files of tests, and run none")
    arguments = parser.parse_args()
    found = files_to_run(changed_files(arguments.base), find_sources((*PACKAGES, "benchmarks", "deploy", "tests")))
    if arguments.list or not found:
        print("\n".join(found) or f"nothing differs from {arguments.base} that a test is about")
        return 0
    options = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-m", "not slow"]
    code = pytest.main([*options, *found], plugins=[FileTimes()])
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code)


if __name__ == "__main__":
    sys.exit(main())
