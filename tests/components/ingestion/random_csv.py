"""Random contents of csv files: quotes, line ends, encodings, NUL and damage."""

from __future__ import annotations

from hypothesis import strategies as st

HEADER = b"id,clicked,app,note\n"
MAX_ROW_BYTES = 100

#: Pieces of an unused field or of damage: characters that a csv reader treats differently, and bytes that are not text.
PIECES = [
    b"x", b"y", b" ", b'"', b'"', b'""', b"'", b"\0", b"\xe9", b"\xc3\xa9", b"\xff", b"\xef\xbb\xbf", b"\\", b"z" * 60,
    "xé".encode("utf-16-le"),
]  # fmt: skip
ENDS = [b"\n", b"\n", b"\n", b"\r\n"]
texts = st.lists(st.sampled_from(PIECES), max_size=4).map(b"".join)
# Few ids, so that some occur twice.
fields = st.tuples(st.sampled_from([b"i1", b"i2", b"i3", b"i4", b"i5", b""]), st.sampled_from([b"0", b"1", b"2"]))


@st.composite
def lines_of_rows(draw: st.DrawFn) -> bytes:
    """Draws a line with as many commas as the header, and odd strings in its last two fields."""
    return b",".join([*draw(fields), draw(texts), draw(texts)]) + draw(st.sampled_from(ENDS))


blank_lines = st.sampled_from([b"\n", b"\r\n"])
damage = st.lists(
    st.sampled_from([*PIECES, "1,0,a,b".encode("utf-16-le"), b",", b",", b"\n", b"\r", b"\r\n", b'"\n"', b',"']),
    max_size=12,
).map(b"".join)
quoted_rows = st.tuples(fields, st.sampled_from([b'"x, y"', b'"two\nlines"', b'"two\r\n\n, lines"', b'""""'])).map(
    lambda row: b",".join([*row[0], b"a", row[1]]) + b"\n"
)
#: Any content of a file, including multi-line fields.
any_log = st.lists(st.one_of(lines_of_rows(), quoted_rows, damage, blank_lines), max_size=12).map(b"".join)
#: Lines that are each a row or blank: every quote in them is stray.
log_of_lines = st.lists(st.one_of(lines_of_rows(), blank_lines), max_size=12).map(b"".join)
