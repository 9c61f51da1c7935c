"""Which modules of the project import which, by their source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from components.fingerprint import imported_names

ROOT = Path(__file__).parents[1]


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def find_sources(packages: Iterable[str]) -> dict[str, tuple[bytes, str]]:
    """The source and the package of each module, by the module's name; packages' own `__init__` are left out."""
    paths = [path for package in packages for path in files_of(package) if path.name != "__init__.py"]
    relative = {path: path.relative_to(ROOT) for path in paths}
    return {
        ".".join(short.with_suffix("").parts): (path.read_bytes(), ".".join(short.parent.parts))
        for path, short in relative.items()
    }


def imports_of(sources: Mapping[str, tuple[bytes, str]]) -> dict[str, set[str]]:
    """The modules that each module imports, for type checkers alone too, by (source, package) of each module."""
    found = {}
    for module, (source, package) in sources.items():
        prefixes = {name for full in imported_names(source, package) for name in (full, full.rpartition(".")[0])}
        found[module] = {name for name in prefixes if name in sources and name != module}
    return found
