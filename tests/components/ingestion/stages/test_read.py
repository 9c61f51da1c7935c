"""Files are read as parts of bounded size."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.ingestion.formats import lines
from components.ingestion.stages import read as read_stage
from components.ingestion.stages import scratch
from components.ingestion.stages.read import ReadFiles
from components.ingestion.stages.task import Partition, Task
from tests.components.ingestion.logs import store_config


@pytest.mark.parametrize(("rows", "num_bytes", "sizes"), [(10, 1 << 20, [12, 12, 6]), (1000, 300, [18, 12])])
def test_a_part_ends_with_the_block_that_reaches_the_limit_of_rows_or_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, num_bytes: int, sizes: list[int]
) -> None:
    path = tmp_path / "users.csv"
    line = "user-{:02d},tag\n"  # 12 bytes
    path.write_text("user,owned\n" + "".join(line.format(number) for number in range(30)))
    monkeypatch.setattr(lines, "BLOCK_BYTES", 6 * 12)
    monkeypatch.setattr(read_stage, "PART_ROWS", rows)
    monkeypatch.setattr(read_stage, "PART_BYTES", num_bytes)
    outputs = ReadFiles(Task(store_config(), 0, str(tmp_path), 1, 1)).process(("users", "", 0, str(path)))
    partitions = [output for output in outputs if isinstance(output, Partition)]
    assert [partition.order for partition in partitions] == [(0, number) for number in range(len(sizes))]
    tables = [scratch.read_table(partition.path) for partition in partitions]
    assert [len(table) for table in tables] == sizes
    assert [number for table in tables for number in table["number"].to_pylist()] == list(range(2, 32))
