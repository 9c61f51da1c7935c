"""Gzip files: any reader reads what is written."""

import gzip
import io
import random

from transform.files.gzip_files import DecompressedFile, compressor

CONTENTS = b"com.store.app1,us,20\n" * 5_000


def compressed(contents: bytes) -> bytes:
    writer = compressor()
    return writer.compress(contents) + writer.flush()


def test_written_files_are_read_by_python_s_reader_and_have_no_time() -> None:
    data = compressed(CONTENTS)
    assert gzip.decompress(data) == CONTENTS
    assert data[:10] == b"\x1f\x8b\x08\x00" + bytes(5) + b"\xff"  # RFC 1952: no name, no time, unknown system
    assert len(data) < len(CONTENTS) / 50


def test_several_members_are_one_file_which_is_closed_with_its_contents() -> None:
    file = io.BytesIO(gzip.compress(b"a,b\n") + compressed(b"1,2\n"))
    with DecompressedFile(file) as stream:
        assert stream.read() == b"a,b\n1,2\n"
    assert file.closed


def test_any_part_can_be_read() -> None:
    """A Parquet file is read from its end."""
    draw = random.Random(0)
    contents = draw.randbytes(3 << 20)
    with io.BufferedReader(DecompressedFile(io.BytesIO(gzip.compress(contents, 1)))) as stream:
        for _ in range(20):
            place, size = draw.randrange(len(contents)), draw.randrange(1, 200_000)
            stream.seek(place)
            assert stream.read(size) == contents[place : place + size]
