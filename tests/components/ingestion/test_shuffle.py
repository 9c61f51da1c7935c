"""Examples are written in a shuffled order, independent of their content."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf

from components.ingestion import shuffle
from components.ingestion.shuffle import Shuffle, buckets_for
from tests.components.ingestion.ingested import BEAM_ARGS

NUM_EXAMPLES, NUM_POSITIVES = 20_000, 1_000

#: The order after a GroupByKey by install.
POSITIVES_FIRST = [(i, b"%d:%d" % (i < NUM_POSITIVES, i)) for i in range(NUM_EXAMPLES)]

#: Examples of a log without ids and with few values: all examples with the same label are equal.
ALIKE = [(i, b"%d:" % (i < NUM_POSITIVES)) for i in range(NUM_EXAMPLES)]


def shuffled(
    examples: list[tuple[int, bytes]], num_buckets: int, folder: Path, *behind: beam.PTransform
) -> list[bytes]:
    """Returns the examples in the order in which they are written, after the shuffle and the given transforms."""
    with beam.Pipeline(argv=BEAM_ARGS) as pipeline:
        found = pipeline | beam.Create(examples, reshuffle=False) | Shuffle(num_buckets)
        for transform in behind:
            found |= transform
        _ = found | beam.io.WriteToTFRecord(str(folder / f"{num_buckets}"), num_shards=1)
    (file,) = folder.glob(f"{num_buckets}-*")
    return list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())


@pytest.mark.parametrize(("examples", "num_buckets"), [(POSITIVES_FIRST, 1), (POSITIVES_FIRST, 5), (ALIKE, 1)])
def test_every_tenth_of_the_file_has_a_tenth_of_the_positives(
    examples: list[tuple[int, bytes]], num_buckets: int, tmp_path: Path
) -> None:
    found = shuffled(examples, num_buckets, tmp_path, beam.Reshuffle())  # TFX reshuffles when it writes a split
    assert sorted(found) == sorted(example for _, example in examples)
    size, expected = NUM_EXAMPLES // 10, NUM_POSITIVES // 10
    for start in range(0, NUM_EXAMPLES, size):
        positives = sum(example.startswith(b"1:") for example in found[start : start + size])
        assert abs(positives - expected) < 4 * expected**0.5  # four standard deviations of a random draw


def test_the_order_does_not_depend_on_the_one_before(tmp_path: Path) -> None:
    # Without Beam's Reshuffle, which keeps examples together whose random 32-bit keys are equal.
    (tmp_path / "a").mkdir()
    assert shuffled(POSITIVES_FIRST, 1, tmp_path) == shuffled(POSITIVES_FIRST[::-1], 1, tmp_path / "a")
    assert shuffled([(1, b"same"), (2, b"other"), (1, b"same")], 1, tmp_path / "a").count(b"same") == 2


def test_a_longer_log_has_more_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(b"0123456789")
    assert buckets_for(map(str, files)) == 1
    assert buckets_for([]) == 1
    monkeypatch.setattr(shuffle, "_BUCKET_BYTES", 9)
    assert buckets_for(map(str, files)) == 3
