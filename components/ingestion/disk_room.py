"""Checks that a disk has room for what an ingestion writes, by what earlier ingestions have written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components import storage
from components.artifacts import DISK_BYTES, GZIP_BYTES, INPUT_FINGERPRINT, LOG_BYTES, RECIPE, UNFIT
from components.lineage import kept_examples
from transform.errors import NoRoomError

_MB = 2**20

#: An earlier ingestion is an estimate for logs that are less than this many times as large as its own: the smaller the
#: logs, the more the sizes count that do not depend on them.
_TIMES_AS_LARGE = 10

#: The most by which the shares of gzip in the bytes of both logs may differ.
_GZIP_DIFFERENCE = 0.1

#: The unit of a file's blocks in its status.
_BLOCK_BYTES = 512


def check_room(store: mlmd.MetadataStore, pipeline: str, examples: metadata_store_pb2.Artifact) -> None:
    """Checks the disk before an ingestion.

    What an ingestion needs depends on how much of the logs the config reads. So the estimate is the least that an
    earlier ingestion by the same config and code has written for each byte of its logs, times the bytes of these logs.
    Nothing is checked without an earlier ingestion of similar logs, on an object store, or if the Examples will come
    from the cache.

    Args:
      store: ML Metadata.
      pipeline: The pipeline's name.
      examples: The Examples to be written, with the custom properties `LOG_BYTES`, `GZIP_BYTES`, `RECIPE` and
        `INPUT_FINGERPRINT`.

    Raises:
      NoRoomError: If less is free than the ingestion needs.
    """
    if storage.is_remote(examples.uri):
        return
    own = examples.custom_properties
    factors = []
    for artifact in kept_examples(store, pipeline):
        earlier = artifact.custom_properties
        if earlier[RECIPE] != own[RECIPE]:
            continue
        if earlier[INPUT_FINGERPRINT] == own[INPUT_FINGERPRINT]:
            return
        if DISK_BYTES in earlier and not earlier[UNFIT].string_value and _are_similar(own, earlier):
            factors.append(earlier[DISK_BYTES].int_value / earlier[LOG_BYTES].int_value)
    if factors:
        _check_free(examples.uri, own[LOG_BYTES].int_value, min(factors))


def _are_similar(own: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    """Returns whether the logs of one ingestion are an estimate for those of another, by their custom properties."""
    if earlier[LOG_BYTES].int_value * _TIMES_AS_LARGE <= own[LOG_BYTES].int_value:
        return False
    of_own, of_earlier = (each[GZIP_BYTES].int_value / max(each[LOG_BYTES].int_value, 1) for each in (own, earlier))
    return bool(abs(of_own - of_earlier) <= _GZIP_DIFFERENCE)


def _check_free(folder: str, log_bytes: int, factor: float) -> None:
    path = Path(folder).absolute()
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    needed, free = log_bytes * factor, shutil.disk_usage(place).free
    if free < needed:
        rule = f"the disk of {place} must have room for what ingestion writes: about {needed / _MB:,.1f} MB"
        why = (
            f"the logs have {log_bytes / _MB:,.1f} MB; earlier ingestions wrote at least {factor:.2f} times their logs"
        )
        received = f"{free / _MB:,.1f} MB are free"
        raise NoRoomError(
            f"{rule} ({why}). Received: {received}; free some space, then run the same command again to continue"
        )


def disk_bytes(folders: Iterable[str]) -> int:
    """Returns the bytes that the files in local folders take on their disk, which may compress them.

    Raises:
      OSError: If a file's size cannot be read, as of one that goes away meanwhile.
    """
    paths = (os.path.join(folder, file) for folder in folders for file in storage.files(folder))
    return sum(os.stat(path).st_blocks * _BLOCK_BYTES for path in paths)
