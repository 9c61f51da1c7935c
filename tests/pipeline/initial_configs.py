"""Guesses a config of a file, and checks it as `wdr check` does."""

from __future__ import annotations

from pathlib import Path

from components.ingestion.spans import resolve_span
from pipeline.check.rows import check_files, check_rows
from pipeline.initial_config.config_text import initial_config
from transform.config.config import Config
from transform.config.config_file import parse_config, parse_yaml


def guessed(data: Path, label: str | None = None, max_rows: int = 50_000) -> tuple[Config, str]:
    """Returns the config that is written for a file, after the check of `wdr check`, and its text."""
    text = initial_config(data, label, max_rows, Path("x.yaml"))
    config = parse_config(parse_yaml(text, "x.yaml"), "x.yaml")
    found = resolve_span(config, str(data.parent))
    check_files(config, found)
    check_rows(config, found, 1000)
    return config, text
