"""Guesses a config of a file, and checks it as `wdr check` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.ingestion.spans import resolve_span
from pipeline.check.rows import check_files, check_rows
from pipeline.initial_config.config_text import initial_config
from transform.config.config import Config
from transform.config.config_file import parse_config, parse_yaml


def guessed(
    data: Path, label: str | None = None, max_rows: int = 50_000, tables: Sequence[Path] = ()
) -> tuple[Config, str]:
    """Returns the config that is written for a file and its tables, after the check of `wdr check`, and its text."""
    text = initial_config(data, label, max_rows, Path("x.yaml"), tables=tables).text
    config = parse_config(parse_yaml(text, "x.yaml"), "x.yaml")
    found = resolve_span(config, str(data.parent))
    check_files(config, found)
    check_rows(config, found, 1000)
    return config, text


def of_csv(folder: Path, content: bytes, name: str = "log.csv", label: str | None = None) -> tuple[Config, str]:
    (folder / name).write_bytes(content)
    return guessed(folder / name, label)


def log_of(columns: Mapping[str, Any], delimiter: str = ",") -> bytes:
    """Returns a CSV file of a column `place` and some others."""
    places = [f"p{i % 5}" for i in range(len(next(iter(columns.values()))))]
    rows = zip(places, *columns.values(), strict=True)
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [("place", *columns), *rows]).encode()


def kinds(config: Config) -> dict[str, str]:
    return {f.name: f.kind for f in config.spec.features}


ROWS = [
    f"r{i // 3};{1_700_000_000 + i};{i % 7};{'JN'[i % 2]};caf\xe9 {i % 4};x{i % 7}|y{i % 5}|z{i % 3}" for i in range(90)
]


NOTES = "request id;Time;amount;clicked;Ort;Tags\n"
