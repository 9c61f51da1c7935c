"""The table of bad rows, which are quarantined while the run continues, and of unusual rows that are valid."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

from tests.e2e.bad_store import Store, log_row

NUM_GOOD = 2400
MEGABYTE = 1_000_000


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that a rule rejects.

    Attributes:
      kind: A description.
      source: The source that contains it.
      row: Its bytes, without the line end.
      reason: The quarantine's reason.
      detail: The quarantine's message, with placeholders such as `<log>` for the log's path.
      text: Part of the row's text in the quarantine.
      by_join: Whether only a whole run finds it; `wdr check` looks at one row at a time.
    """

    kind: str
    source: str
    row: bytes
    reason: str
    detail: str
    text: str
    by_join: bool = False


_numbers = itertools.count()


def _log(kind: str, reason: str, detail: str, text: str | None = None, by_join: bool = False, **changes: str) -> BadRow:
    """An impression with some columns changed; `text` defaults to its id."""
    number = next(_numbers)
    row = log_row(90_000 + number, **{"impression": f"bad{number}", **changes}).encode("utf-8", "surrogateescape")
    return BadRow(kind, "impressions", row, reason, detail, text or f"bad{number}", by_join)


_WEIGHT = "`importance` must be a number from 0 to 1000000. Received: "
_TIME = "`time` must be seconds since 1970, ISO 8601 or as `timestamp_format` says. Received: "

BAD_ROWS = [
    _log("text for a number", "bad_type", "`hour` must be a number. Received: 'noon'", hour="noon"),
    _log("infinity", "bad_type", "`hour` must be a finite 32-bit number. Received: 'inf'", hour="inf"),
    _log("NaN label", "bad_label", "`clicked` must be 0 or 1. Received: 'nan'", clicked="nan"),
    _log("label 2", "bad_label", "`clicked` must be 0 or 1. Received: '2'", clicked="2"),
    _log("label in words", "bad_label", "`clicked` must be 0 or 1. Received: 'yes'", clicked="yes"),
    _log("no label", "missing_value", "`clicked` must have a value", clicked=""),
    _log("a negative weight", "bad_weight", _WEIGHT + "'-1'", importance="-1"),
    _log("a weight in words", "bad_weight", _WEIGHT + "'high'", importance="high"),
    _log("no weight", "missing_value", "`importance` must have a value", importance=""),
    _log("no request", "missing_value", "`request` must have a value", request=""),
    _log("no time", "bad_type", _TIME + "'yesterday'", time="yesterday"),
    _log("milliseconds", "bad_type", _TIME + "'1700000000000'", time="1700000000000"),
    _log("not UTF-8", "undecodable", "`app` must be UTF-8 text. Received: 'caf\\udce9'", app="caf\udce9"),
    _log(
        "a field too many",
        "malformed",
        "a row must have 9 fields. Received: 10; a field with ',' in it must stand in double quotes; if all rows have "
        "10, name the columns in `text.columns`",
        note="a,b",
    ),
    BadRow("a field only", "impressions", b"bad", "malformed", "a row must have 9 fields. Received: 1", "bad\n"),
    _log("text behind a quote", "malformed", "',' expected after '\"'", note='"a"b'),
    _log(
        "a carriage return in a row",
        "malformed",
        "a line must end in \\n or \\r\\n, and a \\r within a field must stand in quotes; "
        "`text.line_end: cr` reads files whose lines end in \\r alone",
        note="a\rb",
    ),
    _log("a field of 10 MB", "too_long", f"a row must have at most {MEGABYTE} bytes", note="x" * 10 * MEGABYTE),
    _log(
        "a field of 200 kB",
        "too_long",
        "`app` must have at most 100000 bytes. Received: 200000 characters",
        text="'app': 'xxx",
        app="x" * 200_000,
    ),
    _log(
        "an impression twice",
        "duplicate_impression_id",
        "`impression` must be unique. Received 'i5' again; first in line 7 of <log>",
        text="'i5'",
        by_join=True,
        impression="i5",
    ),
    _log(
        "an app that the catalog lacks",
        "unmatched_key",
        "`app` must be a key of the table `catalog`. Received: 'app9999'",
        by_join=True,
        app="app9999",
    ),
    _log("a quote that is not closed", "malformed", "a quoted field must be closed", note='"open'),
    BadRow(
        "an app twice",
        "catalog",
        b'{"app": "app3", "price": 99}',
        "duplicate_key",
        "`app` must be unique. Received 'app3' again; first in line 4 of <catalog>",
        "99",
        by_join=True,
    ),
    BadRow(
        "a row that is no JSON",
        "catalog",
        b"{'app': 'appA'}",
        "malformed",
        "a row must be a JSON object: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "appA",
    ),
    BadRow("a list", "catalog", b'["appB"]', "malformed", "a row must be a JSON object. Received: list", "appB"),
    BadRow("no key", "catalog", b'{"price": 77}', "missing_value", "`app` must have a value", "77"),
    BadRow(
        "an object for a price",
        "catalog",
        b'{"app": "appC", "price": {"EUR": 1}}',
        "bad_type",
        "`price` must be a number. Received: \"{'EUR': 1}\"",
        "appC",
    ),
    BadRow(
        "10,001 genres",
        "catalog",
        json.dumps({"app": "appD", "genres": ["g"] * 10_001}).encode(),
        "too_long",
        "`genres` must have at most 10000 values. Received: 10001",
        "appD",
    ),
    BadRow(
        "a country that is not UTF-8",
        "users",
        b"userX\tC\xf4te",
        "undecodable",
        "`country` must be UTF-8 text. Received: 'C\\udcf4te'",
        "userX",
    ),
]

#: Unusual impressions that become examples, by id; the store also has an unread column and a byte order mark.
ODD_ROWS = {
    "nan": log_row(95_001, impression="nan", hour="nan").encode(),  # NaN means no value
    "stranger": log_row(95_002, impression="stranger", user="nobody").encode(),  # the table has no row for it
    "lines": log_row(95_003, impression="lines", note='"two\nlines, and a comma"').encode(),
    "windows": log_row(95_004, impression="windows").encode() + b"\r",
    "latin": log_row(95_005, impression="latin").encode() + b" caf\xe9",  # in a column that is not read
    "before_an_empty_line": log_row(95_006, impression="before_an_empty_line").encode() + b"\n",
}


def write_bad_rows(folder: Path) -> tuple[Store, dict[str, int]]:
    """Writes a good store plus every bad and unusual row; returns it and each bad row's line number, by kind."""
    store = Store(folder, NUM_GOOD)
    bad = {source: [b for b in BAD_ROWS if b.source == source] for source in ("impressions", "catalog", "users")}
    files = {"impressions": store.log, "catalog": store.catalog, "users": store.users}
    store.log.write_bytes(b"\xef\xbb\xbf" + store.log.read_bytes() + b"".join(r + b"\n" for r in ODD_ROWS.values()))
    before = {source: path.read_bytes().count(b"\n") for source, path in files.items()}
    for source, path in files.items():
        path.write_bytes(path.read_bytes() + b"".join(b.row + b"\n" for b in bad[source]))
    return store, {b.kind: before[source] + i for source, rows in bad.items() for i, b in enumerate(rows, start=1)}
