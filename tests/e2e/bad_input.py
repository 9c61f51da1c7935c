"""The table of bad input that stops a command: how a store is broken, and the error message."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.bad_store import LOG_COLUMNS, Store, log_row
from tests.transform.config.config_mistakes import keys_of
from transform.config.evaluation import METRIC_PATTERN
from transform.config.settings import Model


@dataclasses.dataclass(frozen=True)
class Stop:
    """A kind of bad input that stops a command.

    Attributes:
      kind: A description.
      breaks: Breaks a good store.
      check: The message of `wdr check`, with placeholders such as `<log>` for the log's path; empty if it finds no
        fault.
      run: The message of `wdr run`; defaults to `check`.
      at_gate: Whether `wdr run` finds the fault only in ingestion, and its `row_gate` stops it.
    """

    kind: str
    breaks: Callable[[Store], object]
    check: str
    run: str = ""
    at_gate: bool = False


def _set(place: str, value: Any) -> Callable[[Store], None]:
    """Returns a function that sets a value of the config, at a place such as `features.0.name`."""

    def change(store: Store) -> None:
        *way, last = place.split(".")
        node: Any = store.config
        for key in way:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        node[int(last) if isinstance(node, list) else last] = value
        store.write_config()

    return change


def _log(change: Callable[[bytes], bytes]) -> Callable[[Store], object]:
    """Returns a function that rewrites the log."""
    return lambda store: store.log.write_bytes(change(store.log.read_bytes()))


def _gzipped_log(change: Callable[[bytes], bytes], impressions: int = 60) -> Callable[[Store], None]:
    """Returns a function that makes the log a .gz file, adapts the config's path, and rewrites the file's bytes.

    The content is stored, not deflated, so that the number of rows before a place does not depend on zlib's version.
    """

    def break_store(store: Store) -> None:
        _set("sources.impressions.path", "log/day-{SPAN}/part-*.csv.gz")(store)
        lines = [",".join(LOG_COLUMNS), *map(log_row, range(impressions))]
        store.log.unlink()
        store.log = store.log.with_suffix(".csv.gz")
        store.log.write_bytes(change(gzip.compress("\n".join(lines).encode(), 0, mtime=0)))

    return break_store


def _no_install_follows(store: Store) -> None:
    """Labels come from installs, none of which follows an impression."""
    del store.config["sources"]["impressions"]["label"]
    store.config["sources"]["installs"] = {"path": "installs.csv", "format": "csv", "keys": ["user", "app"]}
    store.config["sources"]["installs"]["timestamp"] = "time"
    store.config["sources"]["installs"]["leave_out_unknown_labels"] = False  # the log covers one minute
    store.write_config()
    (store.data / "installs.csv").write_text("user,app,time\nuser1,app1,1600000000\n")


def _dangling(store: Store) -> None:
    store.log.unlink()
    store.log.symlink_to("nowhere")


def _without_first_column(line: bytes) -> bytes:
    return b",".join(line.split(b",")[1:])


LOG_PATTERN = "<data>/log/day-{SPAN}/part-*.csv"
NO_LABEL_1 = "the train split must have both labels, 0 and 1. Received: {'0': 56} (span 1)"

STOPS = [
    # Faults in the config.
    Stop(
        "no config",
        lambda store: store.config_path.unlink(),
        "the config cannot be read: No such file or directory (<config_path>)",
    ),
    Stop(
        "a config that is no YAML",
        lambda store: store.config_path.write_text("name: [a\n"),
        "the config is not valid YAML: while parsing a flow sequence in \"<unicode string>\", line 1, column 7: name: "
        "[a ^ expected ',' or ']', but got '<stream end>' in \"<unicode string>\", line 2, column 1: ^ (<config_path>)",
    ),
    Stop(
        "an unknown config key",
        _set("model.embedding_dims", 8),
        f"`embedding_dims` is not a known key (<config_path>, model.embedding_dims); allowed: {keys_of(Model)}.",
    ),
    Stop(
        "a cross of an unknown feature",
        _set("crosses.0.features", ["country", "genre"]),
        "cross `country_x_genre` names the feature `genre`, which is not declared; allowed: ['app', 'country', "
        "'genres', 'hour', 'price'] (<config_path>).",
    ),
    Stop(
        "quantiles 0",
        _set("features.1.num_quantiles", 0),
        "`num_quantiles` must be at least 2. Received: 0 (<config_path>, features.hour.num_quantiles).",
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
        f"`f1` must match the pattern {METRIC_PATTERN}. "
        "Received: 'f1' (<config_path>, evaluation.thresholds.f1).",
    ),
    Stop(
        "a runner of Beam's that drops outputs",
        _set("beam.args", ["--runner=DaskRunner"]),
        "`args` must not name DaskRunner, which runs the last branch of a pipeline only, so that outputs are missing. "
        "Received: ['--runner=DaskRunner'] (<config_path>, beam.args).",
    ),
    Stop(
        "an option that Beam does not know",
        _set("beam.args", ["--runner=FnApiRunner", "--spam=1"]),
        "`beam.args` (`--beam-arg`) must be options that Beam knows, with FnApiRunner. Received: --spam",
    ),
    # Faults in the files.
    Stop("no log", lambda store: store.log.unlink(), f"there are no impressions for any span ({LOG_PATTERN})"),
    Stop("no catalog", lambda store: store.catalog.unlink(), "the source `catalog` has no file (<catalog>)"),
    Stop(
        "a day that is no number",
        lambda store: store.log.parent.rename(store.data / "log" / "day-one"),
        f"a span must be a number, or a date that exists. Received: <data>/log/day-one/part-0.csv ({LOG_PATTERN})",
    ),
    Stop(
        "a link to nothing",
        _dangling,
        "the file cannot be read: it is a link to nothing, or went away (<log>)",
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
        "the columns ['clicked', 'importance', 'impression', 'request', 'time', 'app', 'user', 'hour'] are missing. "
        "Received: ['impression;request;time;user;app;importance;hour;clicked;note']; is the delimiter right? (<log>)",
    ),
    Stop(
        "a missing column",
        _log(lambda old: b"\n".join(_without_first_column(line) for line in old.splitlines())),
        "the columns ['impression'] are missing. Received: ['request', 'time', 'user', 'app', 'importance', 'hour', "
        "'clicked', 'note'] (<log>)",
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
        "the header line cannot be read: a line must end in \\n or \\r\\n, and a \\r within a field must stand in "
        "quotes; `text.line_end: cr` reads files whose lines end in \\r alone (<log>)",
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
        "the file is damaged or cut off after line 0; nothing of it is used: Not a gzipped file (b'im') (<log>)",
    ),
    Stop(
        "a gz cut off in its first row",
        _gzipped_log(lambda whole: whole[:60]),
        "the file is damaged or cut off after line 0; nothing of it is used: Compressed file ended before the "
        "end-of-stream marker was reached (<log>)",
    ),
    Stop(
        "a CSV that is said to be Parquet",
        _set("sources.impressions.format", "parquet"),
        "the file is damaged or cut off after row 0; nothing of it is used: Parquet magic bytes not found in footer. "
        "Either the file is corrupted or this is not a parquet file. (<log>)",
    ),
    # Faults in their rows.
    Stop(
        "a gz cut off at its end",
        _gzipped_log(lambda whole: whole[:-20], impressions=20_000),
        "the file is damaged or cut off after line 17809; nothing of it is used: Compressed file ended before the "
        "end-of-stream marker was reached (<log>)",
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
        "at most 1.00% of `impressions` may be rejected (ingestion.max_rejected_fraction). Received: 10.00% of the "
        "first 60 rows; most often bad_type (6), the first: `hour` must be a number. Received: 'seven' (line 9, <log>)",
        "at most 1.00% of `impressions` may be rejected (ingestion.max_rejected_fraction). Received: 6 of 60 "
        "(10.00%; bad_type 6)",
        at_gate=True,
    ),
    Stop(
        "a catalog without the apps",
        lambda store: store.catalog.write_text('{"app": "other", "genres": [], "price": 1}\n'),
        "at most 1.00% of `impressions` may be rejected (ingestion.max_rejected_fraction), as those are whose key is "
        "in no row of `catalog`. Received: 60 of the first 60 impressions have a key that `catalog` does not have, "
        "most often 'app0'",
        "at most 1.00% of `impressions` may be rejected (ingestion.max_rejected_fraction). Received: 60 of 60 "
        "(100.00%; unmatched_key 60)",
        at_gate=True,
    ),
]  # fmt: skip


def stops(*, at_gate: bool) -> list[Any]:
    """The table's rows for `pytest.mark.parametrize`."""
    return [pytest.param(stop, id=stop.kind) for stop in STOPS if stop.at_gate == at_gate]
