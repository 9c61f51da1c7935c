"""A hand-written store, `wdr` in this process, and the table of bad input that stops a command."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import cli

LOG_COLUMNS = ("impression", "request", "time", "user", "app", "hour", "clicked", "note")
NUM_APPS, NUM_USERS = 12, 30

_CONFIG: dict[str, Any] = {
    "name": "bad_input",
    "sources": {
        "impressions": {
            "path": "log/day-{SPAN}.csv", "format": "csv", "label": "clicked",
            "impression_id": "impression", "request_id": "request", "timestamp": "time",
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
        {"name": "hour", "side": "context", "kind": "numeric", "quantiles": 4},
        {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"min_count": 2}},
        {"name": "genres", "side": "item", "kind": "categorical_list", "source": "catalog", "vocabulary": {}},
        {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "quantiles": 4},
    ],
    "crosses": [{"features": ["country", "app"], "min_count": 2}],
    "model": {"embedding_dim": 4, "hidden_units": [8]},
    "training": {"batch_size": 128},
    "evaluation": {"thresholds": {"auc": {"min": 0.0}, "logloss": {"max": 10}}},
    "infra_validation": {"num_requests": 20},
}  # fmt: skip


class Store:
    """The store's config and files in a folder; good until a test breaks one of them."""

    def __init__(self, folder: Path, impressions: int = 60):
        self.config_path = folder / "store.yaml"
        self.data = folder / "data"
        self.workspace = folder / "workspace"
        self.log = self.data / "log" / "day-1.csv"
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
        """`wdr check` or `wdr run` on the store."""
        more: list[str | Path] = ["--workspace", self.workspace] if command == "run" else []
        return [command, self.config_path, "--data", self.data, *more]

    def fill(self, sentence: str) -> str:
        """A sentence of the table with the store's paths in it."""
        paths = {name: str(path) for name, path in vars(self).items() if isinstance(path, Path)}
        for name, path in {**paths, "examples": str(self.workspace / "artifacts" / "example_gen")}.items():
            sentence = sentence.replace(f"<{name}>", path)
        return sentence


def log_row(i: int, **changes: str) -> str:
    """The i-th impression as a line of the log, with some columns changed; every third is a click."""
    row = {
        "impression": f"i{i}",
        "request": f"r{i // 4}",
        "time": str(1_700_000_000 + i),
        "user": f"user{i % NUM_USERS}",
        "app": f"app{i % NUM_APPS}",
        "hour": str(i % 24),
        "clicked": str(int(i % 3 == 0)),
        "note": "nobody reads it",
    }
    return ",".join({**row, **changes}.values())


def in_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `wdr` in this process as if in one of its own, standard output and error included."""
    saved_argv, saved_streams = sys.argv, (sys.stdout, sys.stderr)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for stream in saved_streams:
            stream.flush()
        saved = [os.dup(1), os.dup(2)]
        code: Any = 0
        try:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["wdr", *(str(a) for a in arguments)]
            with open(1, "w", closefd=False) as sys.stdout, open(2, "w", closefd=False) as sys.stderr:
                cli.main()
        except SystemExit as exit_:
            code = exit_.code
        finally:
            sys.argv, (sys.stdout, sys.stderr) = saved_argv, saved_streams
            for target, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, target)
                os.close(copy)
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read().decode())
    return subprocess.CompletedProcess(list(sys.argv), code or 0, *printed)


@dataclasses.dataclass(frozen=True)
class Stop:
    """A kind of bad input that stops a command.

    Attributes:
      kind: In words.
      breaks: Breaks a good store.
      check: What `wdr check` says, `<log>` standing for the log's path and so on; empty if it finds no fault.
      run: What `wdr run` says; the same if left out.
      at_gate: `wdr run` finds out in ingestion only, and its `row_gate` stops it.
    """

    kind: str
    breaks: Callable[[Store], object]
    check: str
    run: str = ""
    at_gate: bool = False


def _set(place: str, value: Any) -> Callable[[Store], None]:
    """Sets a value of the config, at a place such as `features.0.name`."""

    def change(store: Store) -> None:
        *way, last = place.split(".")
        node: Any = store.config
        for key in way:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        node[int(last) if isinstance(node, list) else last] = value
        store.write_config()

    return change


def _log(change: Callable[[bytes], bytes]) -> Callable[[Store], object]:
    """Rewrites the log."""
    return lambda store: store.log.write_bytes(change(store.log.read_bytes()))


def _gzipped_log(change: Callable[[bytes], bytes], impressions: int = 60) -> Callable[[Store], None]:
    """Makes the log a .gz file, its name and the config's path too, and rewrites its bytes."""

    def break_store(store: Store) -> None:
        _set("sources.impressions.path", "log/day-{SPAN}.csv.gz")(store)
        lines = [",".join(LOG_COLUMNS), *map(log_row, range(impressions))]
        store.log.unlink()
        store.log = store.log.with_suffix(".csv.gz")
        store.log.write_bytes(change(gzip.compress("\n".join(lines).encode(), mtime=0)))

    return break_store


def _no_install_follows(store: Store) -> None:
    """The labels come from installs, and none of them follows an impression."""
    del store.config["sources"]["impressions"]["label"]
    store.config["sources"]["installs"] = {"path": "installs.csv", "format": "csv", "keys": ["user", "app"]}
    store.config["sources"]["installs"]["timestamp"] = "time"
    store.write_config()
    (store.data / "installs.csv").write_text("user,app,time\nuser1,app1,1600000000\n")


def _dangling(store: Store) -> None:
    store.log.unlink()
    store.log.symlink_to("nowhere")


def _columns(line: bytes) -> bytes:
    return b",".join(line.split(b",")[1:])


LOG_PATTERN = "<data>/log/day-{SPAN}.csv"
NO_LABEL_1 = "the train split must have both labels, 0 and 1. Received: {'0': 52} (span 1)"

STOPS = [
    # The config.
    Stop(
        "no config",
        lambda store: store.config_path.unlink(),
        "the config cannot be read: No such file or directory (<config_path>)",
    ),
    Stop(
        "a config that is no YAML",
        lambda store: store.config_path.write_text("name: [a\n"),
        "the config is not valid YAML: while parsing a flow sequence in \"<unicode string>\", line 1, column 7: name: [a "
        "^ expected ',' or ']', but got '<stream end>' in \"<unicode string>\", line 2, column 1: ^ (<config_path>)",
    ),
    Stop(
        "an unknown config key",
        _set("model.embedding_dims", 8),
        "`embedding_dims` is not a known key (<config_path>, model.embedding_dims); allowed: ['activation', 'dropout', "
        "'embedding_dim', 'hidden_units', 'list_combiner', 'parts'].",
    ),
    Stop(
        "a cross of an unknown feature",
        _set("crosses.0.features", ["country", "genre"]),
        "cross `country_x_genre` names the feature `genre`, which is not declared; allowed: ['app', 'country', "
        "'genres', 'hour', 'price'] (<config_path>).",
    ),
    Stop(
        "quantiles 0",
        _set("features.1.quantiles", 0),
        "`quantiles` must be at least 2. Received: 0 (<config_path>, features.hour.quantiles).",
    ),
    Stop(
        "a feature of an unknown table",
        _set("features.0.source", "people"),
        "feature `country` has the source `people`, which is none of ['impressions', 'catalog', 'users'] "
        "(<config_path>).",
    ),
    Stop(
        "a threshold of an unknown metric",
        _set("evaluation.thresholds.f1", {"min": 0.5}),
        "`f1` must be one of 'auc', 'logloss' or 'calibration'. Received: 'f1' (<config_path>, "
        "evaluation.thresholds.f1).",
    ),
    # The files.
    Stop("no log", lambda store: store.log.unlink(), f"there are no impressions for any span ({LOG_PATTERN})"),
    Stop("no catalog", lambda store: store.catalog.unlink(), "the source `catalog` has no file (<catalog>)"),
    Stop(
        "a day that is no number",
        lambda store: store.log.rename(store.log.with_name("day-one.csv")),
        f"a span must be a number, or a date that exists. Received: <data>/log/day-one.csv ({LOG_PATTERN})",
    ),
    Stop(
        "a link to nothing",
        _dangling,
        f"the file cannot be read: it is a link to nothing, or went away ({LOG_PATTERN})",
    ),
    Stop(
        "an empty log", _log(lambda old: b""), "the file is empty; its first line must name the columns (<log>)"
    ),
    Stop(
        "a log that is a header only",
        _log(lambda old: old.splitlines(keepends=True)[0]),
        "the source `impressions` must have a row. Received: none (<log>)",
    ),
    Stop(
        "an empty catalog",
        lambda store: store.catalog.write_text(""),
        "the source `catalog` must have a row. Received: none (<catalog>)",
    ),
    Stop(
        "the wrong delimiter",
        _log(lambda old: old.replace(b",", b";")),
        "the columns ['clicked', 'impression', 'request', 'time', 'app', 'user', 'hour'] are missing. Received: "
        "['impression;request;time;user;app;hour;clicked;note']; is the delimiter right? (<log>)",
    ),
    Stop(
        "a missing column",
        _log(lambda old: b"\n".join(_columns(line) for line in old.splitlines())),
        "the columns ['impression'] are missing. Received: ['request', 'time', 'user', 'app', 'hour', 'clicked', "
        "'note'] (<log>)",
    ),
    Stop(
        "a column named twice",
        _log(lambda old: old.replace(b"note", b"app", 1)),
        "the file names columns twice: ['app'] (<log>)",
    ),
    Stop(
        "a header with an open quote",
        _log(lambda old: b'"' + old),
        "the header line cannot be read: a quoted field must be closed (<log>)",
    ),
    Stop(
        "lines that end in a carriage return alone",
        _log(lambda old: old.replace(b"\n", b"\r")),
        "the header line cannot be read: a line must end in \\n or \\r\\n, and a \\r within a field must stand in quotes "
        "(<log>)",
    ),
    Stop(
        "UTF-16",
        _log(lambda old: old.decode().encode("utf-16-be")),
        "a text file must be UTF-8. Received: "
        "'\\x00i\\x00m\\x00p\\x00r\\x00e\\x00s\\x00s\\x00i\\x00o\\x00n\\x00,\\x00r\\x00e\\x00q\\x00u\\x00e\\x00s\\x00t\\x00,"
        "\\x00t' (<log>)",
    ),
    Stop(
        "gzip without .gz",
        _log(lambda old: gzip.compress(old, mtime=0)),
        "the name of a gzip-compressed file must end in .gz (<log>)",
    ),
    Stop(
        ".gz without gzip",
        _gzipped_log(gzip.decompress),
        "the file is damaged or cut off after row 0; nothing of it is used: Not a gzipped file (b'im') (<log>)",
    ),
    Stop(
        "a gz cut off in its first row",
        _gzipped_log(lambda whole: whole[:60]),
        "the file is damaged or cut off after row 0; nothing of it is used: Compressed file ended before the "
        "end-of-stream marker was reached (<log>)",
    ),
    Stop(
        "a CSV that is said to be Parquet",
        _set("sources.impressions.format", "parquet"),
        "the file is damaged or cut off after row 0; nothing of it is used: Parquet magic bytes not found in footer. "
        "Either the file is corrupted or this is not a parquet file. (<log>)",
    ),
    # Their rows.
    Stop(
        "a gz cut off at its end",
        _gzipped_log(lambda whole: whole[:-20], impressions=100_000),
        "",
        at_gate=True,
    ),
    Stop(
        "labels all 0",
        _log(lambda old: old.replace(b",1,nobody", b",0,nobody")),
        "`clicked` must be 0 in some rows and 1 in others. Received: only 0 in the first 60 rows (<log>)",
        NO_LABEL_1,
        at_gate=True,
    ),
    Stop("no install that follows an impression", _no_install_follows, "", NO_LABEL_1, at_gate=True),
    Stop(
        "text in a numeric column",
        _log(lambda old: old.replace(b",7,", b",seven,").replace(b",8,", b",eight,")),
        "at most 1.00% of the impressions may be rejected (ingestion.max_rejected_fraction). Received: 10.00% of the "
        "first 60 rows; the first: `hour` must be a number. Received: 'seven' (row 8, <log>)",
        "at most 1.00% of the impressions may be rejected (ingestion.max_rejected_fraction). Received: 6 of 60 (10.00%; "
        "bad_type 6); they are in <examples>/quarantine/1",
        at_gate=True,
    ),
    Stop(
        "a catalog without the apps",
        lambda store: store.catalog.write_text('{"app": "other", "genres": [], "price": 1}\n'),
        "",
        "at most 1.00% of the impressions may be rejected (ingestion.max_rejected_fraction). Received: 60 of 60 "
        "(100.00%; unmatched_key 60); they are in <examples>/quarantine/1",
        at_gate=True,
    ),
]  # fmt: skip


def stops(*, at_gate: bool) -> list[Any]:
    """The table's rows, for parametrize."""
    return [pytest.param(stop, id=stop.kind) for stop in STOPS if stop.at_gate == at_gate]
