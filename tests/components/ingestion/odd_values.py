"""Values of each kind of column, good and odd ones: texts, JSON values and Parquet columns of five rows."""

from __future__ import annotations

import math
from decimal import Decimal

import pyarrow as pa
from hypothesis import strategies as st

TEXTS = [
    "", " ", "none", " none ", "99", "99.0", "-0.5", "a", " a", "a|b", "a| |none|b ", "a|b|c|d", "é", "\xa0a", "x" * 33,
    "0", "1", " 1.0", "1.5", "-3", "1e3", "1E400", "1_0", ".5", "5.", "+5", "nan", "inf", "3.5e38", "0x1", "١", "true",
    "1700000000", "1700000000.25", "4102444800", "20260115", "2026-01-15", "2026-01-15T10:20:30",
    "2026-01-15 10:20:30Z", "2026-01-15T10:20:30.123", "2026-01-15T10:20:30.123456+00:00", "2026-02-29T10:20:30",
    "2024-02-29T10:20:30.999999", "2026-01-15T24:00:00", "2026-01-15T10:20:30+02:00", "1969-12-31T23:59:59",
    "12345678901234567890",
]  # fmt: skip

JSON_VALUES = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from([None, True, False, 0, 1, 99, -0.5, 1.5, 2**53 + 1, 2**64, 10**400, math.nan, math.inf, "\ud800"]),
    st.sampled_from(
        [[], ["a"], [" a ", "none", None], ["a", 1], [1, 2], [True], ["x" * 33], ["a"] * 4, [["a"]], ["\ud800"]]
    ),
    st.just({"a": 1}),
)

OF_PARQUET: dict[str, list[pa.Array]] = {
    "id": [
        pa.array(["i1", None, " a ", "none", "é"]),
        pa.array(["i1", None, " a ", "none", "é"], pa.large_string()),
        pa.array(["i1", None, "i1", "none", "é"]).dictionary_encode(),
        pa.array([b"i1", b"\xff", None, b"none", b"x"], pa.binary()),
        pa.array([b"i1", b"\xff", None, b"none", b"x"], pa.binary()).view(pa.string()),
        pa.array([1, 99, None, 3, 4]),
        pa.array([1.5, None, 2.0, 3.0, 4.0]),
        pa.nulls(5),
    ],
    "tags": [
        pa.array(["a|b", None, " ", "none", "a| b|99"]),
        pa.array([["a", None], None, [], ["none", " b "], ["a"] * 4]),
        pa.array([["a", None], None, [], ["none", " b "], ["a"] * 4], pa.large_list(pa.large_string())),
        pa.array([["a"], None, [], ["a", "b"], ["b"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        pa.array([[b"a"], None, [], [b"\xff"], [b"b"]], pa.list_(pa.binary())),
        pa.array([[1, 99], None, [], [None], [2]]),
        pa.array([[1.5], None, [], [None], [2.0]]),
        pa.array([1, 2, 3, None, 5]),
    ],
    "price": [
        pa.array([1.5, None, -0.5, math.nan, 1e39]),
        pa.array([1.5, None, -0.5, math.nan, 0.1], pa.float32()),
        pa.array([1, None, 99, 2**60 + 1, -1]),
        pa.array(["1.5", None, " 99 ", "x", "1e3"]),
        pa.array([True, None, False, True, False]),
        pa.array([Decimal("1.5"), None, Decimal("-0.5"), Decimal(99), Decimal(1)], pa.decimal128(12, 3)),
    ],
    "clicked": [
        pa.array([0, 1, 2, None, 1]),
        pa.array([True, False, None, True, False]),
        pa.array([0.0, 1.0, 0.5, math.nan, 1.0]),
        pa.array(["0", "1", "yes", "", "1.0"]),
    ],
    "weight": [pa.array([0.5, None, -1.0, 1e7, math.nan]), pa.array([0, 1, -1, None, 5])],
    "time": [
        pa.array([1.5, None, -1.0, 4e9, math.nan]),
        pa.array([1_700_000_000_123_456, None, -1, 0, 2**62]).cast(pa.timestamp("us")),
        pa.array([1_700_000_000_123_456_789, None, -1, 0, 2**62]).cast(pa.timestamp("ns", "UTC")),
        pa.array([19_000, None, -1, 0, 5], pa.int32()).cast(pa.date32()),
        pa.array(["2026-01-15T10:20:30", None, "20260115", "5", "soon"]),
    ],
}
