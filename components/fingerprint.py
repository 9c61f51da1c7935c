"""Fingerprints of code that enter TFX's cache keys: with dotted paths, TFX itself does not detect an edit.

A component's fingerprint covers the modules that its entry points import, directly or through other modules of the
project. The modules are found by parsing the source, so none is listed manually; imports inside functions count too.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: The project's packages; the lock file covers all other packages.
PACKAGES = ("components", "pipeline", "serving", "trainer", "transform")

_LOCK_FILE = "requirements.lock"


class SourceTree:
    """The project's modules below a folder. Each file is read once: a later edit is not detected.

    Args:
      root: The folder of the packages and the lock file. The lock file may be missing if the packages were installed
        outside the project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, Path | None] = {}
        self._sources: dict[Path, bytes] = {}
        self._imported: dict[str, frozenset[str]] = {}

    def closure(self, entry_points: Iterable[str]) -> frozenset[str]:
        """Returns the project's modules that run, or may run, when the entry points run.

        A module runs if it is an entry point or contains one, if it is a package that contains a module that runs, or
        if a module that runs imports it or names it in a string: `"-m", "serving.dry_run"` starts a process.

        Args:
          entry_points: Dotted names of modules, functions or classes, such as `trainer.run_fn.run_fn`. Names outside
            the project are ignored.

        Returns:
          The modules' names.

        Raises:
          ModuleNotFoundError: If an entry point's name begins with one of the project's packages, and there is no such
            module.
        """
        found: set[str] = set()
        for name in entry_points:
            modules = self._find_modules(name)
            if name.partition(".")[0] in PACKAGES and len(modules) < 2:  # nothing runs in a top-level package itself
                raise ModuleNotFoundError(f"an entry point must be of a module of the project. Received: {name}")
            found |= modules
        left = list(found)
        while left:
            new = self._read_imports(left.pop()) - found
            found |= new
            left += new
        return frozenset(found)

    def fingerprint(self, entry_points: Iterable[str]) -> str:
        """Returns a hexadecimal digest of all modules that `closure` finds, and of the lock file."""
        return self._digest(file for module in self.closure(entry_points) if (file := self._file(module)))

    def fingerprint_of_all(self) -> str:
        """Returns a hexadecimal digest of every module of the project, and of the lock file."""
        return self._digest(file for package in PACKAGES for file in (self._root / package).rglob("*.py"))

    def _digest(self, files: Iterable[Path]) -> str:
        digest = hashlib.sha256()
        lock = self._root / _LOCK_FILE
        if lock.exists():
            digest.update(lock.read_bytes())
        for file in sorted(files):
            digest.update(file.relative_to(self._root).as_posix().encode() + b"\0" + self._source(file) + b"\0")
        return digest.hexdigest()

    def _read_imports(self, module: str) -> frozenset[str]:
        if module not in self._imported:
            file = self._file(module)
            assert file is not None  # `_find_modules` returns only modules that have a file
            package = module if file.name == "__init__.py" else module.rpartition(".")[0]
            source = self._source(file)
            imported = {found for name in imported_names(source, package) for found in self._find_modules(name)}
            for name in _dotted_strings(source):
                imported |= self._find_modules(name) | self._find_modules(f"{name}.__main__")
            self._imported[module] = frozenset(imported)
        return self._imported[module]

    def _find_modules(self, name: str) -> set[str]:
        """Returns the modules that importing a dotted name runs: each package of its path and, if a module, itself."""
        parts = name.split(".")
        if parts[0] not in PACKAGES:
            return set()
        paths = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        return {path for path in paths if self._file(path) is not None}

    def _file(self, module: str) -> Path | None:
        if module not in self._files:
            path = self._root.joinpath(*module.split("."))
            candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
            self._files[module] = next((file for file in candidates if file.is_file()), None)
        return self._files[module]

    def _source(self, file: Path) -> bytes:
        if file not in self._sources:
            self._sources[file] = file.read_bytes()
        return self._sources[file]


@functools.cache
def imported_names(source: bytes, package: str) -> frozenset[str]:
    """Returns the absolute dotted names of everything that a module imports, at any level.

    Args:
      source: The module's source.
      package: The package that contains the module, to which relative imports refer; the module itself if it is a
        package.

    Returns:
      Modules, and names in modules: `from a import b` gives `a.b`, whatever `b` is.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(found)


@functools.cache
def _dotted_strings(source: bytes) -> frozenset[str]:
    """Returns the strings in a module that may be dotted names of the project's modules."""
    constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return frozenset(c for c in constants if isinstance(c, str) and c.partition(".")[0] in PACKAGES and "." in c)


@functools.cache
def _project() -> SourceTree:
    return SourceTree(ROOT)


def code_fingerprint(*entry_points: str | type) -> str:
    """Fingerprints the code that entry points run, as it was when this process first read it.

    Args:
      *entry_points: Classes, and dotted names of modules, functions and classes.

    Returns:
      A hexadecimal digest that changes if a module of the project that may run is edited, added, renamed or removed,
      or if a library's version changes.

    Raises:
      ModuleNotFoundError: If there is no such module.
    """
    return _project().fingerprint(name if isinstance(name, str) else name.__module__ for name in entry_points)


def fingerprint_of_all_code() -> str:
    """Fingerprints all of the project's code."""
    return _project().fingerprint_of_all()
