"""Writes files compressed with gzip, TFRecord files among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transform.files.gzip_files import compressor
from transform.files.tfrecords import MASK_DELTA, masked_checksum


def framed(records: pa.Array) -> bytes:
    """Returns records, of type large_binary, as in a TFRecord file: each with its length and two checksums."""
    if not len(records):
        return b""
    lengths, of_record = np.unique(np.asarray(pc.binary_length(records)), return_inverse=True)
    sizes = [length.to_bytes(8, "little") for length in lengths.tolist()]
    heads = pa.array([size + masked_checksum(size) for size in sizes], pa.large_binary()).take(pa.array(of_record))
    contents = records.to_numpy(zero_copy_only=False).tolist()  # ten times as fast as `to_pylist`
    checksums = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(4), len(records), [None, pa.py_buffer(masked_checksums(contents))]
    )
    framed_records = pc.binary_join_element_wise(
        heads, records, checksums.cast(pa.large_binary()), pa.scalar(b"", pa.large_binary())
    )
    whole: bytes = framed_records.buffers()[2].to_pybytes()
    return whole


def masked_checksums(records: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Returns the `masked_checksum` of each record, uint8 `[len(records), 4]`."""
    checksums = np.fromiter(map(google_crc32c.value, records), np.uint32, len(records))
    masked = ((checksums >> np.uint32(15)) | (checksums << np.uint32(17))) + np.uint32(MASK_DELTA)  # modulo 2^32
    return masked.astype("<u4").view(np.uint8).reshape(-1, 4)


def write_records(path: str, blocks: Iterable[pa.Array]) -> None:
    """Writes a TFRecord file, compressed with gzip.

    Args:
      path: The file.
      blocks: The records, large_binary, in blocks that are held in memory one at a time.
    """
    write_compressed(path, (framed(block) for block in blocks))


def write_compressed(path: str, contents: Iterable[bytes]) -> None:
    """Writes a file compressed with gzip, without a time of writing."""
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        gzip = compressor()
        for content in contents:
            stream.write(gzip.compress(content))
        stream.write(gzip.flush())
