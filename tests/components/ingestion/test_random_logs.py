"""A thousand random logs with quotes, line ends, encodings, NUL, damage and duplicates: no line is lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from apache_beam.pvalue import TaggedOutput
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from components.ingestion.formats.lines import LineTally
from tests.components.ingestion.csv_oracle import oracle
from tests.components.ingestion.random_csv import HEADER, MAX_ROW_BYTES, any_log, log_of_lines
from tests.components.ingestion.raw_rows import read_rows
from tests.components.ingestion.row_by_row.joins import COUNTED, REJECTED, KeepFirst
from tests.components.ingestion.row_by_row.reading import ReadRows
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.config.settings import Ingestion

pytestmark = pytest.mark.slow

thousand = settings(max_examples=1000, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


def write(folder: Path, content: bytes, compress: bool) -> Path:
    path = folder / ("a.csv.gz" if compress else "a.csv")
    path.write_bytes(gzip.compress(content, 1) if compress else content)
    return path


def config(limits: Ingestion) -> Config:
    return parse_config(
        {
            "name": "store",
            "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "clicked", "impression_id": "id"}},
            "features": [{"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}}],
            "ingestion": {
                "split_by": "impression_hash",
                "max_row_bytes": limits.max_row_bytes,
                "max_record_lines": limits.max_record_lines,
            },
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        "test",
    )


@thousand
@given(log=any_log, mark=st.sampled_from([b"", b"\xef\xbb\xbf"]), compress=st.booleans(), max_lines=st.integers(1, 4))
@example(log=b'i1,0,a,"x\ni2,1,b,y\ni3,1,c,"z\n', mark=b"", compress=False, max_lines=4)
@example(log=b'i1,0,a,"\n\n\n\n\ni2,1,b,y\n', mark=b"", compress=False, max_lines=4)
@example(log=b'i1,0,a,"x' + b"\r\n" + b"z" * 200 + b'"\n', mark=b"", compress=False, max_lines=4)
def test_rows_and_line_numbers_are_those_of_an_independent_reader(
    folder: Path, log: bytes, mark: bytes, compress: bool, max_lines: int
) -> None:
    content = mark + HEADER + log
    tally = LineTally()
    limits = Ingestion(max_row_bytes=MAX_ROW_BYTES, max_record_lines=max_lines)
    names = ["id", "clicked", "app", "note"]
    found = list(read_rows(str(write(folder, content, compress)), "csv", names, limits, tally))
    expected, num_blank = oracle(content, MAX_ROW_BYTES, max_lines)
    assert [(r.number, r.num_lines, r.values and tuple(r.values.values())) for r in found] == [
        (r.line, r.num_lines, r.fields) for r in expected
    ]
    assert (tally.header, tally.blank) == (1, num_blank)
    num_lines = content.count(b"\n") + (not content.endswith(b"\n"))
    assert num_lines == 1 + num_blank + sum(r.num_lines for r in found)
    event(f"a row of several lines: {any(r.num_lines > 1 for r in found)}")
    event(f"a rejected row: {any(r.values is None for r in found)}")


@thousand
@given(
    log=st.one_of(log_of_lines.map(lambda log: (log, 10)), any_log.map(lambda log: (log, 1))), compress=st.booleans()
)
@example(log=(b'i1,0,a,",x"\n\ni2,1,b,"y\n', 10), compress=False)
@example(log=(b'i1,0,",x\ni2,1,",y\n', 10), compress=False)
def test_each_line_is_kept_or_rejected_where_no_field_has_several(
    folder: Path, log: tuple[bytes, int], compress: bool
) -> None:
    # With the default limit, each line is a row, since all lines have the header's number of commas. With a limit of
    # one line per row, each line is a row, whatever its content.
    content = HEADER + log[0]
    path = write(folder, content, compress)
    settings = config(Ingestion(max_row_bytes=MAX_ROW_BYTES, max_record_lines=log[1]))
    read = ReadRows(settings, "impressions", settings.sources.impressions)
    read.setup()
    rows, rejected, counted = [], [], {}
    for output in read.process(("", str(path))):
        if not isinstance(output, TaggedOutput):
            rows.append(output)
        elif output.tag == REJECTED:
            rejected.append(output.value)
        elif output.tag == COUNTED:
            counted[output.value[0]] = output.value[1]
    kept: list[tuple[str, str, int, tuple[object, ...]]] = []
    groups: dict[str, list[tuple[str, str, int, tuple[object, ...]]]] = {}
    for row in rows:
        groups.setdefault(row[3][1], []).append(row)
    for group in groups.items():
        for output in KeepFirst("impressions", "duplicate_impression_id", "id", "line").process(group):
            (rejected if isinstance(output, TaggedOutput) else kept).append(
                output.value if isinstance(output, TaggedOutput) else output
            )
    lines = content.split(b"\n")
    ended = lines if lines[-1] else lines[:-1]
    blank = [line for line in ended if not line.strip(b"\r")]
    assert len(kept) + len(rejected) == len(ended) - 1 - len(blank)
    numbers = [row[2] for row in kept] + [r.line for r in rejected]
    assert sorted(numbers) == [n for n, line in enumerate(ended, 1) if n > 1 and line.strip(b"\r")]
    assert counted["read", "impressions"] == len(kept) + len(rejected)
    assert counted["lines", "impressions", "total"] == len(ended)
    assert not [key for key in counted if key[0] == "unusable"]
    event(f"a row kept: {bool(kept)}")
    event(f"a duplicate: {any(r.reason == 'duplicate_impression_id' for r in rejected)}")
