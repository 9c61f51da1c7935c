"""Several files of a split: each becomes a file of its own, and what is learned of all is that of one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf
from tfx.types import Artifact

from components.transform_executor.executor import TransformExecutor
from tests.components.transform_executor.random_examples import random_examples
from tests.components.transform_executor.transform_runs import Written, examples, run
from tests.transform.small_config import small_config
from transform.stateful_vocabulary import MEMORY_FILE

#: A vocabulary of two features, quantiles of fewer values than a sketch approximates, and a cross that depends on them.
CONFIG = small_config(("crosses", [{"features": ["installed", "price"], "min_count": 2, "max_size": 9}]))

SIZES = (40, 0, 25, 55)


def day(folder: Path, sizes: tuple[int, ...]) -> Artifact:
    """Writes the same rows to files of some sizes."""
    splits: dict[str, list[Iterable[bytes]]] = {}
    for seed, split in enumerate(("train", "eval")):
        rows = random_examples(CONFIG, 1, sum(SIZES), seed)
        splits[split] = [list(itertools.islice(rows, size)) for size in sizes]
    return examples(folder, 1, splits)


def memory_of(written: Written) -> bytes:
    assert written.memory is not None
    return (Path(written.memory.uri) / MEMORY_FILE).read_bytes()


def test_each_file_becomes_a_file_and_all_together_teach_what_one_does(tmp_path: Path) -> None:
    one = run(TransformExecutor, CONFIG, [day(tmp_path / "one", (sum(SIZES),))], tmp_path / "of-one")
    several = run(TransformExecutor, CONFIG, [day(tmp_path / "several", SIZES)], tmp_path / "of-several")
    assert several.files == one.files
    assert several.rows == one.rows
    assert memory_of(several) == memory_of(one)
    for split in ("train", "eval"):
        files = sorted((tmp_path / "of-several" / "transformed" / "0" / f"Split-{split}").iterdir())
        assert [path.name for path in files] == [f"transformed_examples-{at:05d}-of-00004.gz" for at in range(4)]
        numbers = [sum(1 for _ in tf.data.TFRecordDataset(str(path), "GZIP")) for path in files]
        assert tuple(numbers) == SIZES
    assert not (tmp_path / "of-several" / "graph" / ".scratch").exists()
