"""The rules for one row's values."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from components.ingestion.columns.parser import Parser
from components.ingestion.formats.raw_rows import MAX_KEPT_CHARACTERS, RowError, StoredTime, kept_text
from transform.config.columns import Column, ColumnKind
from transform.config.settings import Ingestion
from transform.config.sources import LabelRule

LIMITS = Ingestion(max_field_bytes=20, max_list_values=3)


def parse(kind: ColumnKind, value: Any, *, required: bool = False) -> Any:
    parser = Parser([Column("x", kind, required)], ("", "unknown ", "99", "-0.1"), "|", LIMITS)
    (result,) = parser.parse_row({"x": value})
    return result


INCOME = LabelRule(positive=(">50K", ">50K. "))
STRICT_INCOME = LabelRule(positive=(">50K", ">50K."), negative=("<=50K", "<=50K."))
LIKED = LabelRule(at_least=4)


_TIME = "`x` must be seconds since 1970, ISO 8601 or as `timestamp_format` says. Received: "


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (INCOME, " >50K", 1),
        (INCOME, b">50K.", 1),
        (INCOME, "<=50K", 0),
        (INCOME, 7, 0),
        (STRICT_INCOME, "<=50K.", 0),
        (LabelRule(positive=("7",)), 7, 1),
        (LIKED, "4", 1),
        (LIKED, " 4.5 ", 1),
        (LIKED, "3.999", 0),
        (LIKED, 5, 1),
        (LIKED, float("-inf"), 0),
        (STRICT_INCOME, ">60K", "`x` must be one of ['>50K', '>50K.', '<=50K', '<=50K.']. Received: '>60K'"),
        (INCOME, True, "`x` must be one text. Received: bool 'True'"),
        (INCOME, "\udcff", "`x` must be UTF-8 text. Received: '\\udcff'"),
        (INCOME, "unknown", "`x` must have a value"),
        (INCOME, 99, "`x` must have a value"),
        (LIKED, "99", "`x` must have a value"),
        (LIKED, 99, "`x` must have a value"),
        (LIKED, " 99.0", "`x` must have a value"),
        (LIKED, 99.5, 1),
        (LIKED, float("inf"), 1),
        (LIKED, "good", "`x` must be a number. Received: 'good'"),
        (LIKED, "nan", "`x` must be a number. Received: 'nan'"),
    ],
)
def test_a_label_rule(rule: LabelRule, value: Any, expected: int | str) -> None:
    columns = [Column("x", "label", True, label_rule=rule)]
    parser = Parser(columns, ("", "unknown", "99"), "|", LIMITS)
    if isinstance(expected, int):
        assert parser.parse_row({"x": value}) == (expected,)
        return
    with pytest.raises(RowError) as caught:
        parser.parse_row({"x": value})
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "chess", "chess"),
        ("string", b"\xc3\xa9t\xc3\xa9", "été"),
        ("string", "0", "0"),
        ("string", " ", None),
        ("string", "\t chess\r\n", "chess"),
        ("string", "\xa0chess", "\xa0chess"),  # TensorFlow does not strip it
        ("string", " unknown", None),
        ("string", b" unknown ", None),
        ("string", 99, None),
        ("string", ("99",), None),
        ("string", 7, "7"),
        ("string", ("chess",), "chess"),
        ("string", "", None),
        ("string", b"unknown", None),
        ("string", None, None),
        ("string", "x" * 20, "x" * 20),
        ("list", "a|b|a", ("a", "b", "a")),
        ("list", "a||unknown", ("a",)),
        ("list", " a | unknown|b c ", ("a", "b c")),
        ("list", "a|  |", ("a",)),
        ("list", ["a ", b" unknown", 98], ("a", "98")),
        ("list", [" ", 99], None),
        ("list", " unknown ", None),
        ("list", "", None),
        ("list", [], None),
        ("list", ["", None, "unknown"], None),
        ("list", ["a", b"b", 3], ("a", "b", "3")),
        ("list", ["a|b"], ("a|b",)),
        ("list", ("a|b",), ("a|b",)),
        ("float", "1.5", 1.5),
        ("float", b"-1e3", -1000.0),
        ("float", 2, 2.0),
        ("float", (2.5,), 2.5),
        ("float", " 1.5 ", 1.5),
        ("float", "nan", None),
        ("float", " unknown", None),
        ("float", "99", None),
        ("float", "99.0", None),
        ("float", 99, None),
        ("float", "-0.1", None),
        ("float", -0.1, None),
        ("float", "-0.10001", -0.10001),
        ("float", float("nan"), None),
        ("float", "unknown", None),
        ("float", 3.4e38, 3.4e38),
        ("label", "0", 0),
        ("label", " 1.0\t", 1),
        ("label", 1, 1),
        ("label", True, 1),
        ("label", 0.0, 0),
        ("weight", "0", 0.0),
        ("weight", "2.5", 2.5),
        ("weight", b"1e6", 1_000_000.0),
        ("weight", 3, 3.0),
        ("weight", (0.25,), 0.25),
        ("weight", 99, None),
        ("weight", "99.00", None),
        ("weight", -0.1, None),
        ("randomized", "1", True),
        ("randomized", "TRUE", True),
        ("randomized", " false ", False),
        ("randomized", False, False),
        ("randomized", 0.0, False),
        ("propensity", "1", 1.0),
        ("propensity", 1e-6, 1e-6),
        ("timestamp", "1700000000", 1_700_000_000.0),
        ("timestamp", 1_700_000_000.25, 1_700_000_000.25),
        ("timestamp", "2023-11-14T22:13:20", 1_700_000_000.0),
        ("timestamp", " 2023-11-14T22:13:20Z ", 1_700_000_000.0),
        ("timestamp", "2023-11-15T00:13:20+02:00", 1_700_000_000.0),
        ("timestamp", datetime.date(1970, 1, 2), 86_400.0),
        ("timestamp", "0", 0.0),
        ("timestamp", 99, None),
        ("timestamp", "99.0", None),
        ("timestamp", StoredTime(99.0, "1970-01-01T00:01:39"), None),
        ("timestamp", 99.000001, 99.000001),
    ],
)
def test_a_good_value_is_typed(kind: ColumnKind, value: Any, expected: Any) -> None:
    if len(str(value)) > 20 and isinstance(value, str):
        parser = Parser([Column("x", kind, False)], ("",), "|", Ingestion())
        (result,) = parser.parse_row({"x": value})
    else:
        result = parse(kind, value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "reason", "detail"),
    [
        (
            "string",
            b"caf\xe9",
            "undecodable",
            "`x` must be UTF-8 text: unexpected end of data at byte 3",
        ),
        ("string", "caf\udce9", "undecodable", "`x` must be UTF-8 text. Received: 'caf\\udce9'"),
        ("string", "\ud800", "undecodable", "`x` must be UTF-8 text. Received: '\\ud800'"),
        ("string", "é" * 11, "too_long", "`x` must have at most 20 bytes. Received: 11 characters"),
        ("string", "\ud800" * 11, "too_long", "`x` must have at most 20 bytes. Received: 11 characters"),
        ("string", 1.5, "bad_type", "`x` must be one text. Received: float '1.5'"),
        ("string", True, "bad_type", "`x` must be one text. Received: bool 'True'"),
        ("string", ["a"], "bad_type", "`x` must be one text. Received: list \"['a']\""),
        ("string", ("a", "b"), "bad_type", "`x` must be one text. Received: tuple \"('a', 'b')\""),
        ("list", 5, "bad_type", "`x` must be a list of texts. Received: int"),
        ("list", "a|b|c|d", "too_long", "`x` must have at most 3 values. Received: 4"),
        ("list", ["y" * 21], "too_long", "`x` must have at most 20 bytes. Received: 21 characters"),
        ("list", [["a"]], "bad_type", "`x` must be one text. Received: list \"['a']\""),
        ("list", [{"a": 1}], "bad_type", "`x` must be one text. Received: dict \"{'a': 1}\""),
        ("list", [b"\xff"], "undecodable", "`x` must be UTF-8 text: invalid start byte at byte 0"),
        ("float", "1,5", "bad_type", "`x` must be a number. Received: '1,5'"),
        ("float", True, "bad_type", "`x` must be a number. Received: 'True'"),
        ("float", [1.0], "bad_type", "`x` must be a number. Received: '[1.0]'"),
        ("float", "inf", "bad_type", "`x` must be a finite 32-bit number. Received: 'inf'"),
        ("float", "-1e39", "bad_type", "`x` must be a finite 32-bit number. Received: '-1e39'"),
        ("float", 10**400, "bad_type", f"`x` must be a finite 32-bit number. Received: '1{'0' * 39}'"),
        ("label", "2", "bad_label", "`x` must be 0 or 1. Received: '2'"),
        ("label", "nan", "bad_label", "`x` must be 0 or 1. Received: 'nan'"),
        ("label", float("nan"), "bad_label", "`x` must be 0 or 1. Received: 'nan'"),
        ("label", "yes", "bad_label", "`x` must be 0 or 1. Received: 'yes'"),
        ("label", 0.5, "bad_label", "`x` must be 0 or 1. Received: '0.5'"),
        ("label", 10**400, "bad_label", f"`x` must be 0 or 1. Received: '1{'0' * 39}'"),
        ("weight", "-0.5", "bad_weight", "`x` must be a number from 0 to 1000000. Received: '-0.5'"),
        ("weight", 1_000_000.5, "bad_weight", "`x` must be a number from 0 to 1000000. Received: '1000000.5'"),
        ("weight", "nan", "bad_weight", "`x` must be a number from 0 to 1000000. Received: 'nan'"),
        ("weight", float("inf"), "bad_weight", "`x` must be a number from 0 to 1000000. Received: 'inf'"),
        ("weight", "heavy", "bad_weight", "`x` must be a number from 0 to 1000000. Received: 'heavy'"),
        ("weight", True, "bad_weight", "`x` must be a number from 0 to 1000000. Received: 'True'"),
        ("weight", [1.0], "bad_weight", "`x` must be a number from 0 to 1000000. Received: '[1.0]'"),
        ("randomized", "2", "bad_type", "`x` must be 0, 1, true or false. Received: '2'"),
        ("randomized", "yes", "bad_type", "`x` must be 0, 1, true or false. Received: 'yes'"),
        ("propensity", "0", "bad_propensity", "`x` must be a number from 0.000001 to 1. Received: '0'"),
        ("propensity", 1.5, "bad_propensity", "`x` must be a number from 0.000001 to 1. Received: '1.5'"),
        ("propensity", "nan", "bad_propensity", "`x` must be a number from 0.000001 to 1. Received: 'nan'"),
        (
            "timestamp",
            "soon",
            "bad_type",
            "`x` must be seconds since 1970, ISO 8601 or as `timestamp_format` says. Received: 'soon'",
        ),
        (
            "timestamp",
            "-1",
            "bad_type",
            "`x` must be seconds since 1970, ISO 8601 or as `timestamp_format` says. Received: '-1'",
        ),
        (
            "timestamp",
            "nan",
            "bad_type",
            "`x` must be seconds since 1970, ISO 8601 or as `timestamp_format` says. Received: 'nan'",
        ),
        (
            "timestamp",
            1_700_000_000_000,  # milliseconds
            "bad_type",
            f"{_TIME}'1700000000000'",
        ),
        (
            "timestamp",
            10**400,
            "bad_type",
            f"{_TIME}'1{'0' * 39}'",
        ),
    ],
)
def test_a_bad_value_is_told(kind: ColumnKind, value: Any, reason: str, detail: str) -> None:
    with pytest.raises(RowError) as caught:
        parse(kind, value)
    assert (caught.value.reason, caught.value.detail) == (reason, detail)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", ""),
        ("string", None),
        ("list", "unknown"),
        ("list", []),
        ("float", "nan"),
        ("label", ""),
        ("weight", ""),
        ("randomized", ""),
        ("randomized", "unknown"),
        ("propensity", ""),
    ],
)
def test_a_required_column_needs_a_value(kind: ColumnKind, value: Any) -> None:
    with pytest.raises(RowError) as caught:
        parse(kind, value, required=True)
    assert (caught.value.reason, caught.value.detail) == ("missing_value", "`x` must have a value")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", " a ", " a "),
        ("string", " unknown", " unknown"),
        ("string", "unknown ", None),  # exactly the null value
        ("string", "", None),
        ("list", " a |unknown |b", (" a ", "b")),
    ],
)
def test_a_column_whose_spaces_count_is_read_as_it_is(kind: ColumnKind, value: Any, expected: Any) -> None:
    parser = Parser([Column("x", kind, False, trim=False)], ("unknown ",), "|", LIMITS)
    assert parser.parse_row({"x": value}) == (expected,)


def test_a_null_value_spells_one_second() -> None:
    """Times are float64: the numbers of float32 around this one are 128 apart."""
    parser = Parser([Column("x", "timestamp", False)], ("1700000000",), "|", LIMITS)
    assert parser.parse_row({"x": 1_700_000_000.0}) == (None,)
    assert parser.parse_row({"x": 1_700_000_001.0}) == (1_700_000_001.0,)


def test_values_stand_in_the_order_of_the_columns() -> None:
    columns = [Column("b", "float", False), Column("a", "string", False), Column("b", "string", False)]
    parser = Parser(columns, ("",), "|", LIMITS)
    assert parser.parse_row({"a": "1", "b": "2", "c": "3"}) == (2.0, "1", "2")
    assert parser.parse_row({}) == (None, None, None)


def test_what_the_quarantine_keeps_is_utf_8_and_bounded() -> None:
    assert kept_text("caf\udce9 été") == "caf\\udce9 été"
    assert kept_text("\ud800") == "\\ud800"
    assert kept_text("x" * (MAX_KEPT_CHARACTERS + 5)) == "x" * MAX_KEPT_CHARACTERS
