"""Writes an Arrow table as one part file, in any of the formats that the pipeline reads."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

FORMATS = ("csv", "tsv", "jsonl", "parquet", "tfrecord")
COMPRESSIBLE_FORMATS = ("csv", "tsv", "jsonl", "tfrecord")  # parquet compresses its pages itself
LIST_SEPARATOR = "|"
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_JSONL_ROWS_AT_ONCE = 100_000
_EXAMPLES_AT_ONCE = 20_000


def write_part(table: pa.Table, folder: Path, part: int, file_format: str, *, compress: bool) -> Path:
    """Writes the table to `folder/part-NNNNN.<extension>`, and returns the file's path.

    A missing value is an empty field (csv, tsv), null (jsonl, parquet) or an absent feature (tfrecord). A list is
    joined with `|` in csv and tsv. In tfrecord each row is a tf.Example: strings are bytes, integers int64, and
    floats float32.

    Args:
      table: Columns of strings, int64, float64 or lists of strings.
      folder: An existing folder.
      part: The part's number, from 0.
      file_format: One of FORMATS.
      compress: Whether the file is gzipped and ends in `.gz`; only for COMPRESSIBLE_FORMATS.
    """
    path = folder / f"part-{part:05d}.{file_format}{'.gz' if compress else ''}"
    if file_format == "parquet":
        pq.write_table(table, path)
        return path
    with pa.output_stream(path, compression="gzip" if compress else None) as stream:
        if file_format == "tfrecord":
            _write_tfrecord(table, stream)
        elif file_format == "jsonl":
            _write_jsonl(table, stream)
        else:
            _write_delimited(table, stream, _DELIMITERS[file_format])
    return path


def _write_delimited(table: pa.Table, stream: pa.NativeFile, delimiter: str) -> None:
    for index, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            table = table.set_column(index, field.name, pc.binary_join(table.column(index), LIST_SEPARATOR))
    stream.write((delimiter.join(table.column_names) + "\n").encode())  # Arrow would quote the names
    options = pa_csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="none")
    pa_csv.write_csv(table, stream, options)


def _write_jsonl(table: pa.Table, stream: pa.NativeFile) -> None:
    for start in range(0, table.num_rows, _JSONL_ROWS_AT_ONCE):
        frame = table.slice(start, _JSONL_ROWS_AT_ONCE).to_pandas()
        stream.write(frame.to_json(orient="records", lines=True).encode())


def _write_tfrecord(table: pa.Table, stream: pa.NativeFile) -> None:
    from components.examples import encoding
    from components.examples.writing import framed  # here: it imports Beam, and only this format needs it

    for start in range(0, table.num_rows, _EXAMPLES_AT_ONCE):
        rows = table.slice(start, _EXAMPLES_AT_ONCE).combine_chunks()
        entries = []
        for name in sorted(table.column_names):
            column = rows.column(name).combine_chunks()
            if pa.types.is_list(column.type):
                entries.append(encoding.list_entries(name, column))
            elif pa.types.is_string(column.type):
                entries.append(encoding.text_entries(name, column))
            elif pa.types.is_floating(column.type):
                entries.append(encoding.float_entries(name, column))
            else:
                entries.append(encoding.int_entries(name, column.to_numpy()))
        stream.write(framed(encoding.examples(entries)))
