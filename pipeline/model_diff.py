"""In what two pushed versions differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from components.versions import CATALOG_FOLDER, CONFIG_FILE, EXTRA_ASSETS, SPANS, read_manifest, versions
from pipeline.raw_rows import read_catalog
from transform.errors import InputError

#: What stands in place of a value where a version has none.
NONE = "–"

_VOCABULARY_SUFFIX = "_vocabulary"


def diff_table(root: str, first: int, second: int) -> Table:
    """A table of all in which two versions differ: what, and its value in each.

    Args:
      root: The serving folder.
      first: A version.
      second: Another.

    Raises:
      InputError: If there is no such version.
    """
    found = versions(root)
    for version in (first, second):
        if version not in found:
            raise InputError(f"a version to compare must be one of {found}. Received: {version} ({root})")
    before, after = (contents(Path(root, str(version))) for version in (first, second))
    table = Table(box=None, pad_edge=False)
    for header in ("what", f"version {first}", f"version {second}"):
        table.add_column(header, overflow="fold")
    for what in [*before, *(key for key in after if key not in before)]:
        values = before.get(what, NONE), after.get(what, NONE)
        if values[0] != values[1]:
            table.add_row(what, *values)
    return table


def contents(version_path: Path) -> dict[str, str]:
    """What a version is made of, as words by what they are about; the order is that of the table."""
    manifest = read_manifest(str(version_path))
    extra = version_path / EXTRA_ASSETS
    found = {
        "spans": ", ".join(str(span) for span in manifest.get(SPANS, [])),
        "code fingerprint": manifest.get("code_fingerprint", NONE),
        "model": manifest.get("model_uri", NONE),
    }
    for name, value in manifest.get("metrics", {}).get("candidate", {}).items():
        found[f"metric {name}"] = f"{value:.6g}"
    for path in sorted((version_path / "assets").glob(f"*{_VOCABULARY_SUFFIX}")):
        found[f"vocabulary {path.name.removesuffix(_VOCABULARY_SUFFIX)}"] = f"{_num_lines(path):,}"
    for folder in sorted((extra / CATALOG_FOLDER).glob("*")):
        found[f"table {folder.name}"] = f"{len(read_catalog(str(version_path), folder.name)):,} rows"
    config = extra / CONFIG_FILE
    if config.exists():
        keys = json.loads(config.read_text(encoding="utf-8"))
        keys |= keys.pop("spec")  # the features, and what is made of them: a config file has them at its top
        found |= {f"config {place}": text for place, text in _flat((), keys)}
    return found


def _num_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _flat(place: tuple[str, ...], value: Any) -> Iterator[tuple[str, str]]:
    """A config's values, each with its place: `features.price.quantiles`."""
    entries = _entries(value)
    if entries is None:
        yield ".".join(place), json.dumps(value)
        return
    for name, entry in entries.items():
        yield from _flat((*place, name), entry)


def _entries(value: Any) -> dict[str, Any] | None:
    """The entries of a mapping, or of a list of features or crosses, by their names; None for what has none."""
    if isinstance(value, dict):
        return value or None
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        return {entry.get("name") or " x ".join(entry["features"]): entry for entry in value}
    return None
