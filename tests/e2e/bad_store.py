"""A small hand-written store to break, and `wdr` run in this process, which saves each case the start-up time."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from absl import logging as absl_logging

from pipeline.cli import main as cli

LOG_COLUMNS = ("impression", "request", "time", "user", "app", "importance", "hour", "clicked", "note")
NUM_APPS, NUM_USERS = 1200, 200  # enough to keep a few bad rows under the limit
_LOGGED_APPS, _LOGGED_USERS = 12, 30

_CONFIG: dict[str, Any] = {
    "name": "bad_input",
    "sources": {
        "impressions": {
            "path": "log/day-{SPAN}/part-*.csv", "format": "csv", "label": "clicked",
            "weight": "importance", "impression_id": "impression", "request_id": "request", "timestamp": "time",
        },
        "tables": {
            "catalog": {
                "path": "catalog.jsonl", "format": "jsonl", "key": "app", "broadcast": True, "reject_unmatched": True,
            },
            "users": {"path": "users.tsv", "format": "tsv", "key": "user"},
        },
    },
    "features": [
        {"name": "country", "side": "context", "kind": "categorical", "source": "users", "vocabulary": {}},
        {"name": "hour", "side": "context", "kind": "numeric", "num_quantiles": 4},
        {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"min_count": 2}},
        {"name": "genres", "side": "item", "kind": "categorical_list", "source": "catalog", "vocabulary": {}},
        {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4},
    ],
    "crosses": [{"features": ["country", "app"], "min_count": 2}],
    "model": {"embedding_dim": 4, "hidden_units": [8], "dropout": 0.0},
    "training": {"batch_size": 128, "validation_fraction": 0},
    "evaluation": {"thresholds": {"auc": {"min": 0.0}, "logloss": {"max": 10}}, "min_positives": 1},
    "infra_validation": {"num_requests": 20},
}  # fmt: skip


class Store:
    """The store's config and files in a folder; valid until a test breaks one of them."""

    def __init__(self, folder: Path, impressions: int = 60):
        self.config_path = folder / "store.yaml"
        self.data = folder / "data"
        self.workspace = folder / "workspace"
        self.log = self.data / "log" / "day-1" / "part-0.csv"
        self.catalog = self.data / "catalog.jsonl"
        self.users = self.data / "users.tsv"
        self.config: dict[str, Any] = json.loads(json.dumps(_CONFIG))
        self.log.parent.mkdir(parents=True)
        self.log.write_text("".join(line + "\n" for line in [",".join(LOG_COLUMNS), *map(log_row, range(impressions))]))
        apps = ({"app": f"app{i}", "genres": ["all", f"g{i % 3}"], "price": i / 4} for i in range(NUM_APPS))
        self.catalog.write_text("".join(json.dumps(app) + "\n" for app in apps))
        users = (f"user{i}\t{('de', 'fr')[i % 2]}\n" for i in range(NUM_USERS))
        self.users.write_text("user\tcountry\n" + "".join(users))
        self.write_config()

    def write_config(self) -> None:
        self.config_path.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def arguments(self, command: str) -> list[str | Path]:
        """The arguments of `wdr check` or `wdr run` for the store."""
        more: list[str | Path] = ["--workspace", self.workspace] if command == "run" else []
        return [command, self.config_path, "--data", self.data, *more]

    def fill(self, sentence: str) -> str:
        """Replaces the placeholders in a message of the table by the store's paths."""
        paths = {name: str(path) for name, path in vars(self).items() if isinstance(path, Path)}
        for name, path in {**paths, "examples": str(self.workspace / "artifacts" / "example_gen")}.items():
            sentence = sentence.replace(f"<{name}>", path)
        return sentence


def log_row(i: int, **changes: str) -> str:
    """The i-th impression as a line of the log, with some columns changed; every third one is a click of weight 3."""
    row = {
        "impression": f"i{i}",
        "request": f"r{i // 4}",
        "time": str(1_700_000_000 + i),
        "user": f"user{i % _LOGGED_USERS}",
        "app": f"app{i % _LOGGED_APPS}",
        "importance": "0.5" if i % 3 else "3",
        "hour": str(i % 24),
        "clicked": str(int(i % 3 == 0)),
        "note": "nobody reads it",
    }
    return ",".join({**row, **changes}.values())


def _forget_closed_streams() -> None:
    """Removes handlers of closed streams from the root logger, and directs absl's log to this process's stderr."""
    absl_logging.get_absl_handler().python_handler.stream = sys.stderr
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.StreamHandler) and handler.stream.closed:
            root.removeHandler(handler)


def in_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `wdr` in this process as if in a separate one, and captures standard output and error."""
    saved_argv, saved_streams = sys.argv, (sys.stdout, sys.stderr)
    command = ["wdr", *(str(a) for a in arguments)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for stream in saved_streams:
            stream.flush()
        saved = [os.dup(1), os.dup(2)]
        code: Any = 0
        try:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = command
            with open(1, "w", closefd=False) as sys.stdout, open(2, "w", closefd=False) as sys.stderr:
                cli.main()
        except SystemExit as exit_:
            code = exit_.code
        finally:
            sys.argv, (sys.stdout, sys.stderr) = saved_argv, saved_streams
            _forget_closed_streams()
            for target, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, target)
                os.close(copy)
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read().decode())
    return subprocess.CompletedProcess(command, code or 0, *printed)


def ok_in_process(*arguments: str | Path) -> str:
    """Runs `wdr` in this process, which must succeed; returns its standard output."""
    done = in_process(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
