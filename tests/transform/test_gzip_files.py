"""Gzip files: any reader reads what is written, and a file's bytes follow from its contents."""

import gzip
import io

from transform.gzip_files import compressor, decompressed

CONTENTS = b"com.store.app1,us,20\n" * 5_000


def compressed(contents: bytes) -> bytes:
    writer = compressor()
    return bytes(writer.compress(contents) + writer.flush())


def test_written_files_are_read_by_python_s_reader_and_have_no_time() -> None:
    data = compressed(CONTENTS)
    assert gzip.decompress(data) == CONTENTS
    assert data[:10] == b"\x1f\x8b\x08\x00" + bytes(5) + b"\xff"  # RFC 1952: no name, no time, unknown system
    assert data == compressed(CONTENTS)
    assert len(data) < len(CONTENTS) / 50


def test_several_members_are_one_file_which_stays_open() -> None:
    file = io.BytesIO(gzip.compress(b"a,b\n") + compressed(b"1,2\n"))
    with decompressed(file) as stream:
        assert stream.read() == b"a,b\n1,2\n"
    assert not file.closed
