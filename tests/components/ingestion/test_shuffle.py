"""Examples are written in a shuffled order, independent of their content, in files that depend on nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from components.ingestion import transforms
from components.ingestion.stages.scratch import buckets_of_texts
from tests.components.ingestion.logs import store_config
from tests.components.ingestion.without_beam import Files, in_batches, records
from tests.contents import unpacked
from transform.config.config import Config

NUM_ROWS, NUM_POSITIVES = 6_000, 600


def log_with_positives_first(folder: Path) -> tuple[Config, Files]:
    """Writes a log without ids and with few values; all rows with the same label are equal."""
    path = folder / "log.csv"
    rows = [f"{int(i < NUM_POSITIVES)},u0,a0,home\n" for i in range(NUM_ROWS)]
    path.write_text("clicked,user,app,page\n" + "".join(rows))
    config = store_config()
    log = dataclasses.replace(
        config.sources.impressions, label="clicked", impression_id=None, request_id=None, timestamp=None, path=None,
        splits={"train": "log.csv", "eval": "none.csv"},
    )  # fmt: skip
    sources = dataclasses.replace(config.sources, impressions=log, installs=None, tables={})
    features = tuple(f for f in config.spec.features if f.source == "impressions")
    spec = dataclasses.replace(config.spec, features=features)
    files = {"impressions": {"train": (str(path),), "eval": ()}}
    return dataclasses.replace(config, sources=sources, spec=spec), files


@pytest.mark.parametrize("num_shards", [1, 3])
def test_every_tenth_of_the_examples_has_a_tenth_of_the_positives(tmp_path: Path, num_shards: int) -> None:
    config, files = log_with_positives_first(tmp_path)
    in_batches(config, files, tmp_path / "out", 1, num_shards)
    shards = sorted((tmp_path / "out" / "train").iterdir())
    assert [path.name for path in shards] == [
        f"data_tfrecord-{at:05d}-of-{num_shards:05d}.gz" for at in range(num_shards)
    ]
    found = [record for path in shards for record in records(path)]
    labels = [tf.train.Example.FromString(r).features.feature["label"].int64_list.value[0] for r in found]
    assert (len(labels), sum(labels)) == (NUM_ROWS, NUM_POSITIVES)
    size, expected = NUM_ROWS // 10, NUM_POSITIVES // 10
    for start in range(0, NUM_ROWS, size):
        # Four standard deviations of a random draw.
        assert abs(sum(labels[start : start + size]) - expected) < 4 * expected**0.5
    assert [record for path in (tmp_path / "out" / "eval").iterdir() for record in records(path)] == []


def test_tensorflow_reads_the_files_and_they_have_no_time_of_writing(tmp_path: Path) -> None:
    config, files = log_with_positives_first(tmp_path)
    paths: list[Path] = []
    for name in ("a", "b"):
        in_batches(config, files, tmp_path / name)
        paths += (tmp_path / name / "train").iterdir()
    first, second = paths
    assert unpacked(first) == unpacked(second)
    assert first.read_bytes()[4:8] == bytes(4)  # RFC 1952: no time
    assert list(tf.data.TFRecordDataset(str(first), "GZIP").as_numpy_iterator()) == records(first)


def test_the_numbers_of_shards_and_buckets_depend_on_the_size_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    for path in paths:
        path.write_bytes(b"0123456789")
    files: Files = {"impressions": {"": tuple(map(str, paths))}, "users": {"": (str(paths[0]),)}}
    assert transforms.make_task(store_config(), files, 1, "x")[3:] == (1, 1)
    monkeypatch.setattr(transforms, "SHARD_BYTES", 45)
    monkeypatch.setattr(transforms, "_KEY_BUCKET_BYTES", 30)
    # 10 bytes, and 10 compressed ones, which count as 80.
    assert transforms.make_task(store_config(), files, 1, "x")[3:] == (3, 2)


def test_equal_texts_have_the_same_bucket_and_each_bucket_has_its_share() -> None:
    texts = pa.array([f"user-{i}" for i in range(5_000)] + ["", "user-7"])
    buckets = buckets_of_texts(texts, 5)
    assert buckets[-1] == buckets[7]
    assert set(buckets.tolist()) == set(range(5))
    # Four standard deviations of a binomial share: 4 · sqrt(5000 · 0.2 · 0.8).
    assert np.abs(np.bincount(buckets) - 1000).max() < 114
    for start in (3, 4090):  # the second slice has texts of two blocks
        assert (buckets_of_texts(texts.slice(start, 10), 5) == buckets[start : start + 10]).all()
