"""Reads the first rows of a file of any format that a config is guessed of."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pyarrow as pa

from pipeline.initial_config.samples.delimited import read_delimited
from pipeline.initial_config.samples.objects import read_jsonl, read_parquet
from pipeline.initial_config.samples.sample import Sample
from transform.errors import InputError


def read_sample(path: Path, max_rows: int) -> Sample:
    """Reads a file's first rows.

    Args:
      path: A Parquet file, a jsonl file, whose name ends in `.jsonl` or `.ndjson`, or a text file with a delimiter. A
        jsonl or text file may be compressed, its name then ends in `.gz`.
      max_rows: The most rows that are read. At most the first `MAX_BYTES` bytes are read, of a Parquet file those of
        the columns that can be features, and fewer rows of a Parquet file with many columns.

    Raises:
      InputError: If the file cannot be read, has no rows, or has no columns that a delimiter parts.
    """
    endings = [ending.lower() for ending in path.suffixes]
    ending = next((ending for ending in reversed(endings) if ending != ".gz"), "")
    if path.suffix != ".gz" and path.suffix.lower() == ".gz":  # a run would read the compressed bytes
        raise InputError(f"the name of a compressed file must end in .gz, in small letters. Received: {path}")
    if ending in (".json", ".tfrecord", ".xlsx", ".zip"):
        hint = "; a file with a JSON object in each line must be named .jsonl" if ending == ".json" else ""
        raise InputError(f"`wdr init` reads csv, tsv, jsonl and Parquet files. Received: {path}{hint}")
    try:
        if endings[-1:] == [".parquet"]:
            sample = read_parquet(path, max_rows)
        elif ending in (".jsonl", ".ndjson"):
            sample = read_jsonl(path, max_rows)
        else:
            sample = read_delimited(path, max_rows)
    except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowInvalid) as error:
        raise InputError(f"the file is damaged: {' '.join(str(error).split())[:200]} ({path})") from error
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror or error} ({path})") from error
    if not sample.num_rows:
        raise InputError(f"the file must have a row. Received: none ({path})")
    return sample
