"""The benchmark of ingestion, in short: each bad row is rejected, and no other."""

from __future__ import annotations

import pytest

from benchmarks.scale_ingestion import compare

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet", "tfrecord"])
def test_one_row_in_a_hundred_is_rejected(file_format: str) -> None:
    found = compare(2_000, file_format)
    assert found["on batches"].reported.startswith("20 impressions rejected; ")
    if file_format == "csv":
        assert found["CsvExampleGen"].num_examples == 1_990  # 10 lines are damaged, 10 have no request
