"""The expected rows of a csv file, from a state machine in plain Python, without the csv module."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class OracleRow:
    """A row: the number of its first line, its number of lines, and its fields; None if it is rejected."""

    line: int
    num_lines: int
    fields: tuple[str, ...] | None


def oracle(content: bytes, max_row_bytes: int, max_record_lines: int) -> tuple[list[OracleRow], int]:
    """Returns the rows of a file after its header line, and the number of blank lines."""
    raw = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    ended = [line + b"\n" for line in raw[:-1]] + ([raw[-1]] if raw[-1] else [])
    lines = [line.decode("utf-8", "surrogateescape") for line in ended]
    too_long = [len(line) > max_row_bytes for line in ended]
    width = lines[0].count(",") + 1
    rows, num_blank, at = [], 0, 1
    while at < len(lines):
        if too_long[at]:
            rows.append(OracleRow(at + 1, 1, None))
            at += 1
            continue
        end = at + 1
        # A record continues while a quote is open, up to the first line that is too long.
        while (fields := _fields("".join(lines[at:end]), max_row_bytes)) is OPEN and end - at < max_record_lines:
            if end == len(lines) or too_long[end]:
                break
            end += 1
        if fields == ():
            num_blank += 1
        elif isinstance(fields, str) or len(fields) != width or _are_rows(lines[at:end], width):
            rows.append(OracleRow(at + 1, 1, None))
            end = at + 1
        else:
            rows.append(OracleRow(at + 1, end - at, fields))
        at = end
    return rows, num_blank


OPEN, WRONG = "open", "wrong"


def _are_rows(lines: Sequence[str], width: int) -> bool:
    """Returns whether several lines are rows by themselves if quotes are read as text."""
    return len(lines) > 1 and all(line.count(",") + 1 == width for line in lines if line not in ("\n", "\r\n"))


def _fields(text: str, max_characters: int) -> tuple[str, ...] | str:
    """Returns a record's fields: OPEN if it ends within quotes, WRONG if it breaks a rule, empty if it is blank."""
    fields: list[str] = []
    field, state = "", "record"
    for c in text:
        if state == "quoted":
            field, state = (field, "quote") if c == '"' else (field + c, state)
        elif state == "ended":
            if c not in "\r\n":
                return WRONG
        elif state == "quote" and c == '"':
            field, state = field + c, "quoted"
        elif c == ",":
            fields, field, state = [*fields, field], "", "field"
        elif c in "\r\n":
            fields, state = fields if state == "record" else [*fields, field], "ended"
        elif state == "quote":
            return WRONG
        elif c == '"' and state in ("record", "field"):
            state = "quoted"
        else:
            field, state = field + c, "text"
        if len(field) > max_characters:
            return WRONG
    if state == "quoted":
        return OPEN
    return tuple(fields if state in ("record", "ended") else [*fields, field])
