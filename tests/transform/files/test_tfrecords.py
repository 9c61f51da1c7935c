from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import pytest
import tensorflow as tf

from transform.errors import InputError
from transform.files import tfrecords
from transform.files.tfrecords import masked_checksum, read_batches, read_records

RECORDS = [b"", b"a", b"b" * 1000, b"c" * 300_000, b"d", b"e" * 255]


def written(path: Path, records: list[bytes]) -> str:
    with tf.io.TFRecordWriter(str(path), "GZIP" if path.suffix == ".gz" else "") as writer:
        for record in records:
            writer.write(record)
    return str(path)


@pytest.mark.parametrize("name", ["records", "records.gz"])
@pytest.mark.parametrize("block_bytes", [1, 11, 12, 13, 4096, tfrecords._BLOCK_BYTES])
def test_records_are_those_that_tensorflow_wrote(
    tmp_path: Path, name: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a block's end cuts: a head, a record or a checksum."""
    monkeypatch.setattr(tfrecords, "_BLOCK_BYTES", block_bytes)
    assert list(read_records(written(tmp_path / name, RECORDS))) == RECORDS


@pytest.mark.parametrize("name", ["empty", "empty.gz"])
def test_a_file_without_a_byte_has_no_records(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert list(read_records(str(tmp_path / name))) == []


@pytest.mark.parametrize("size", [1, 2, 4, 5, 100])
def test_a_batch_may_have_records_of_two_files(tmp_path: Path, size: int) -> None:
    paths = [
        written(tmp_path / "a.gz", RECORDS[:3]),
        written(tmp_path / "b.gz", []),
        written(tmp_path / "c", RECORDS[3:]),
    ]
    expected = [RECORDS[begin : begin + size] for begin in range(0, len(RECORDS), size)]
    assert list(read_batches(paths, size)) == expected


def test_a_batch_ends_at_its_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecords, "_BLOCK_BYTES", 500)
    monkeypatch.setattr(tfrecords, "_BATCH_BYTES", 1000)
    records = [bytes([number]) * 400 for number in range(20)]
    path = written(tmp_path / "a.gz", records)
    *batches, last = read_batches([path], 100)
    assert [*itertools.chain.from_iterable(batches), *last] == records
    assert {len(batch) for batch in batches} == {3}  # of 1,200 bytes
    assert [len(batch) for batch in read_batches([path], 2)] == [2] * 10


def test_gzip_files_one_behind_the_other_are_a_file(tmp_path: Path) -> None:
    first, second = (written(tmp_path / f"{i}.gz", RECORDS[3 * i : 3 * i + 3]) for i in range(2))
    (tmp_path / "both.gz").write_bytes(Path(first).read_bytes() + Path(second).read_bytes())
    assert list(read_records(str(tmp_path / "both.gz"))) == RECORDS


def test_a_batch_is_given_before_the_rest_of_the_file_is_read(tmp_path: Path) -> None:
    whole = Path(written(tmp_path / "whole.gz", [b"a" * 1000] * 1000)).read_bytes()
    (tmp_path / "damaged.gz").write_bytes(whole[:-1])
    batches = read_batches([str(tmp_path / "damaged.gz")], 10)
    assert next(batches) == [b"a" * 1000] * 10
    with pytest.raises(InputError, match="a TFRecord file must be readable"):
        list(batches)


def head(length: int) -> bytes:
    size = length.to_bytes(8, "little")
    return size + masked_checksum(size)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("damage", "received"),
    [
        (lambda content: content[:-9], "Compressed file ended before the end-of-stream marker"),
        (lambda content: flipped(content, 1), "Not a gzipped file"),
        (lambda content: flipped(content, len(content) // 2), ""),
        (lambda content: flipped(content, len(content) - 6), "CRC check failed"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-3]), "must end with a whole record"),
        (lambda content: gzip.compress(gzip.decompress(content) + head(1) + b"1"), "must end with a whole record"),
        (lambda content: gzip.compress(flipped(gzip.decompress(content), 7)), "the length of a record is damaged"),
        (lambda content: gzip.compress(b"impression_id,user_id\n"), "the length of a record is damaged"),
        (lambda content: gzip.compress(head(2**63)), "must end with a whole record"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path: Path, damage: object, received: str) -> None:
    whole = Path(written(tmp_path / "whole.gz", RECORDS)).read_bytes()
    path = tmp_path / "damaged.gz"
    path.write_bytes(damage(whole))  # type: ignore[operator]
    with pytest.raises(InputError, match=r"^a TFRecord file must .*\(.*damaged\.gz\)$") as caught:
        list(read_records(str(path)))
    assert received in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a TFRecord file must be readable. Received: No such file"):
        list(read_records(str(tmp_path / "missing.gz")))
