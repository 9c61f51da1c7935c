"""Differences between two pushed versions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass
from rich.table import Table
from rich.text import Text

from components.model_store.identity import is_same_model
from components.model_store.manifest import Manifest, read_manifest
from components.model_store.versions import version_path, versions
from pipeline.registry.progressive import ProgressiveValidation
from transform.config.component_settings import VERSION_KEY
from transform.documents import CONFIG
from transform.errors import InputError
from transform.files.tfrecords import read_records
from transform.files.version_layout import CATALOG_FOLDER, CONFIG_FILE, EXTRA_ASSETS

#: Shown where a version lacks a value.
NONE = "–"

_VOCABULARY_SUFFIX = "_vocabulary"


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing in which two versions differ.

    Attributes:
      what: What it is.
      first: Its value in the first version, as text.
      second: Its value in the second version, as text.
    """

    what: str
    first: str
    second: str


@dataclass(frozen=True, config=CONFIG)
class Differences:
    """The differences of two versions, by `wdr models diff --json`.

    Attributes:
      first: The first version.
      second: The second version.
      differences: The differences; empty if there is none.
      schema_version: The version of this dataclass's schema.
    """

    first: int
    second: int
    differences: Sequence[Difference]
    schema_version: Literal[1] = 1


def differences(
    root: str, first: int, second: int, unseen: Callable[[str, str], ProgressiveValidation | None]
) -> list[Difference]:
    """Finds all differences between two versions.

    Args:
      root: The serving folder.
      first: A version.
      second: Another version.
      unseen: Given two models' URIs, returns their progressive validation on a span that was new to both, or None.

    Raises:
      InputError: If one of the versions does not exist.
    """
    found = versions(root)
    for version in (first, second):
        if version not in found:
            raise InputError(f"a version to compare must be one of {found}. Received: {version} ({root})")
    before, after = (contents(Path(version_path(root, version))) for version in (first, second))
    rows = {what: (before.get(what, NONE), after.get(what, NONE)) for what in [*before, *after]}
    one, other = (read_manifest(version_path(root, version)) for version in (first, second))
    all_rows = {**rows, **metric_rows(one, other, unseen)}
    return [Difference(what, *values) for what, values in all_rows.items() if values[0] != values[1]]


def diff_table(first: int, second: int, found: Iterable[Difference]) -> Table:
    """Returns a table of differences: what differs, and its value in each version."""
    table = Table(box=None, pad_edge=False)
    for header in ("what", f"version {first}", f"version {second}"):
        table.add_column(header, overflow="fold")
    for difference in found:
        table.add_row(*map(Text, (difference.what, difference.first, difference.second)))  # a config has brackets
    return table


def metric_rows(
    first: Manifest, second: Manifest, unseen: Callable[[str, str], ProgressiveValidation | None]
) -> dict[str, tuple[str, str]]:
    """Returns the metrics of two versions on the same rows, by their description.

    Args:
      first: A version's manifest.
      second: Another version's manifest.
      unseen: As in `differences`.

    Returns:
      The metrics on the last span that was new to both models. If there is none, the metrics on the span of the version
      whose baseline was the other one. If neither was, a row that says that the metrics are not comparable. Empty if
      both versions have the same model, or a manifest lacks the model or the metrics.
    """
    one, other = first.model_uri, second.model_uri
    if one is None or other is None or is_same_model(first, second):
        return {}
    if one != other and (found := unseen(one, other)) is not None:
        measured = found.measured
        of_models = {found.model_uri: measured.metrics, found.before_uri: measured.baseline}
        return _rows(of_models[one], of_models[other], f"on span {found.span}, unseen by both")
    for manifest, held_against in ((first, other), (second, one)):
        baseline, metrics = manifest.baseline, manifest.metrics
        if one != other and baseline and baseline.model_uri == held_against and metrics and manifest.spans:
            before, after = (metrics.candidate if m is manifest else metrics.baseline for m in (first, second))
            return _rows(before, after, f"on span {manifest.newest_span}")
    if first.metrics is None or second.metrics is None:
        return {}
    return {"metrics": (_measured_on(first), f"{_measured_on(second)}: not comparable")}


def _measured_on(manifest: Manifest) -> str:
    span = manifest.newest_span
    return "of a span that its manifest does not name" if span is None else f"of span {span}"


def _rows(first: Mapping[str, float], second: Mapping[str, float], where: str) -> dict[str, tuple[str, str]]:
    names = dict.fromkeys([*first, *second])
    values = {name: [f"{m[name]:.6g}" if name in m else NONE for m in (first, second)] for name in names}
    return {f"{name} {where}": (before, after) for name, (before, after) in values.items()}


def contents(folder: Path) -> dict[str, str]:
    """Returns the contents of a version as text by topic, in the order of the table's rows."""
    manifest = read_manifest(str(folder))
    extra = folder / EXTRA_ASSETS
    found = {
        "spans": ", ".join(str(span) for span in manifest.spans or ()),
        "code fingerprint": manifest.code_fingerprint or NONE,
        "model": manifest.model_uri or NONE,
    }
    for path in sorted((folder / "assets").glob(f"*{_VOCABULARY_SUFFIX}")):
        found[f"vocabulary {path.name.removesuffix(_VOCABULARY_SUFFIX)}"] = f"{_num_lines(path):,}"
    for table in sorted((extra / CATALOG_FOLDER).glob("*")):
        found[f"table {table.name}"] = f"{_num_records(table):,} rows"
    config = extra / CONFIG_FILE
    if config.exists():
        found |= {f"config {key}": text for key, text in config_values(config.read_text(encoding="utf-8")).items()}
    return found


def config_values(text: str) -> dict[str, str]:
    """Returns the values of a config's JSON (`Config.to_json`), as JSON, by key, such as `training.batch_size`."""
    keys = json.loads(text)
    keys.pop(VERSION_KEY, None)
    keys |= keys.pop("spec")  # features and crosses: a config file has them at its top level
    return dict(_flat((), keys))


def _num_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _num_records(folder: Path) -> int:
    """Counts the rows of a table's snapshot, whose files are TFRecord files."""
    return sum(1 for path in folder.glob("*") for _ in read_records(str(path)))


def _flat(place: tuple[str, ...], value: Any) -> Iterator[tuple[str, str]]:
    """Yields a config's values, each with its path, such as `features.price.num_quantiles`."""
    entries = _entries(value)
    if entries is None:
        yield ".".join(place), json.dumps(value)
        return
    for name, entry in entries.items():
        yield from _flat((*place, name), entry)


def _entries(value: Any) -> dict[str, Any] | None:
    """Returns the entries of a mapping, or of a list of features or crosses, by name; None for any other value."""
    if isinstance(value, dict):
        return value or None
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        return {entry.get("name") or " x ".join(entry["features"]): entry for entry in value}
    return None
