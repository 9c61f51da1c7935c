"""Writes the sources of a first config as lines of YAML with comments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.initial_config.installs import InstallsGuess
from pipeline.initial_config.samples.sample import Sample
from pipeline.initial_config.tables import TableGuess
from transform.config.sources import DEFAULT_LIST_SEPARATOR

#: The window of installs after an impression. It follows from the store, not from the logs.
ATTRIBUTION_SECONDS = 3600
ATTRIBUTION = "1 where an install of the same user and item follows within an hour; correct the time"

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


def shell_word(path: Path) -> str:
    """Returns a path as one word of a shell's command, which no command takes for an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def below(root: Path, path: Path) -> str:
    """Returns a file's path from a folder above it on."""
    return path.name if path.parent == root else str(path.absolute().relative_to(root.absolute()))


def yaml_value(value: Any) -> str:
    """Returns a value as YAML on one line, each text quoted that could be anything but this text."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
            return value
        return str(yaml.safe_dump(value, default_style='"', allow_unicode=False, width=float("inf"))).strip()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_value(key)}: {yaml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(yaml_value, value)) + "]"
    return str(yaml.safe_dump(value)).split("\n")[0]


def with_comment(line: str, reason: str) -> str:
    """Returns a line with its reason behind it, if there is one."""
    return f"{line}  # {reason}" if reason else line


def source_lines(sample: Sample, root: Path, nulls: Sequence[str], separator: str) -> Iterator[str]:
    """Yields the lines of a source: its path below the folder of the data, and how it is read.

    Args:
      sample: The first rows of its file.
      root: The folder that `--data` names.
      nulls: The texts that mean "no value".
      separator: The separator of lists.
    """
    text, reasons = sample.text, sample.reasons
    yield f"path: {yaml_value(below(root, sample.path))}  # below the folder that --data names"
    yield with_comment(f"format: {sample.format}", reasons.get("format", ""))
    settings: dict[str, Any] = {
        "delimiter": text.delimiter,
        "quoting": text.quoting,
        "encoding": None if text.encoding == "utf-8" else text.encoding,
        "line_end": None if text.line_end == "lf" else text.line_end,
        "skip_lines": text.skip_lines or None,
        "columns": list(text.columns) or None,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    if given:
        yield "text:"
        yield from (with_comment(f"  {key}: {yaml_value(value)}", reasons.get(key, "")) for key, value in given.items())
    if nulls:
        yield f"null_values: {yaml_value(['', *nulls])}  # no values, beside the empty text"
    if separator != DEFAULT_LIST_SEPARATOR:
        yield f"list_separator: {yaml_value(separator)}  # between the values of a list"


def installs_lines(installs: InstallsGuess, root: Path) -> Iterator[str]:
    """Yields the lines of the source of installs."""
    yield from source_lines(installs.sample, root, installs.nulls, DEFAULT_LIST_SEPARATOR)
    yield f"keys: {yaml_value(installs.keys)}  # by their names: user and item, in both logs"
    yield f"timestamp: {yaml_value(installs.timestamp)}"
    if installs.timestamp_format is not None:
        yield f"timestamp_format: {yaml_value(installs.timestamp_format)}"
    yield f"attribution_seconds: {ATTRIBUTION_SECONDS}  # {ATTRIBUTION}"


def table_lines(table: TableGuess, root: Path) -> Iterator[str]:
    """Yields the lines of a table, its name first."""
    yield f"{table.name}:"
    yield from (f"  {line}" for line in source_lines(table.sample, root, table.nulls, table.separator))
    yield f"  key: {yaml_value(table.key)}  # {table.reason}"
    if table.log_column != table.key:
        yield f"  impression_key: {yaml_value(table.log_column)}"
    if table.item_key is not None:
        yield f"  item_key: {table.item_key}"
