"""Transform on worker processes: the same bytes as in one process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from components.transform_executor.executor import TransformExecutor
from components.transform_executor.file_analysis import FileAnalysis
from components.transform_executor.materialization import FileTransform
from pipeline.beam_options import make_beam_args
from tests.components.transform_executor.random_examples import random_examples
from tests.components.transform_executor.transform_runs import SCALED_NUMBER, examples, execute
from tests.transform.small_config import small_config
from transform.config.beam import Beam

#: A cross whose tokens depend on the quantiles, so that there are two phases, and a number with mean and variance.
CONFIG = small_config(
    ("crosses", [{"features": ["installed", "price"], "min_count": 2, "max_size": 9}]),
    SCALED_NUMBER,
)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of all outputs; a SavedModel's protobufs have maps, whose order is not determined."""
    outputs = [folder / name for name in ("graph", "cache", "memory", "transformed")]
    files = [path for output in outputs for path in output.rglob("*") if path.is_file() and path.suffix != ".pb"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refuse(*_: Any) -> None:
    raise AssertionError("a file was read in this process")


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(span: int, split: int) -> list[Iterable[bytes]]:
        return [random_examples(CONFIG, span, number, 10 * span + split + at) for at, number in enumerate((60, 0, 90))]

    window = [
        examples(tmp_path / f"day-{span}", span, {"train": rows(span, 0), "eval": rows(span, 5)}) for span in (1, 2)
    ]
    first = execute(TransformExecutor, CONFIG, window[:1], tmp_path / "first")
    earlier = (first["updated_analyzer_cache"][0], first["updated_memory"][0])
    execute(TransformExecutor, CONFIG, window, tmp_path / "one", *earlier)
    expected = contents(tmp_path / "one")
    assert len(expected) > 12
    for work in (FileAnalysis, FileTransform):
        monkeypatch.setattr(work, "__call__", refuse)
    beam_args = make_beam_args(Beam(num_workers=2))
    execute(TransformExecutor, CONFIG, window, tmp_path / "two", *earlier, beam_args)
    assert contents(tmp_path / "two") == expected
