"""Checks that a disk has room for what ingestion writes, by what the pipeline's last ingestion wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components import storage
from components.artifacts import DISK_BYTES, INPUT_FINGERPRINT, LOG_BYTES, RECIPE
from components.lineage import kept_examples
from transform.errors import NoRoomError

_MB = 10**6

#: How many times as large as those of the last ingestion logs may be for an estimate.
_MOST_TIMES = 10


def check_room(store: mlmd.MetadataStore, pipeline: str, examples: metadata_store_pb2.Artifact) -> None:
    """Checks the disk before an ingestion.

    What an ingestion needs depends on how much of the logs the config reads. So it is estimated by what the pipeline's
    last ingestion by the same config and code needed for each byte of its logs. There is no estimate without one, or if
    its logs were less than a tenth as large, since fixed sizes weigh more in small logs. An object store is not
    checked. Examples that come from the cache need no room.

    Args:
      store: ML Metadata.
      pipeline: The pipeline's name.
      examples: The Examples to be written, with the custom properties `LOG_BYTES`, `RECIPE` and `INPUT_FINGERPRINT`.

    Raises:
      NoRoomError: If less is free than the ingestion needs.
    """
    if storage.is_remote(examples.uri):
        return
    own = examples.custom_properties
    found = [a.custom_properties for a in sorted(kept_examples(store, pipeline), key=lambda a: int(a.id))]
    earlier = [properties for properties in found if properties[RECIPE] == own[RECIPE]]
    if any(properties[INPUT_FINGERPRINT] == own[INPUT_FINGERPRINT] for properties in earlier):
        return
    log_bytes = own[LOG_BYTES].int_value
    measured = [e for e in earlier if DISK_BYTES in e and e[LOG_BYTES].int_value > log_bytes / _MOST_TIMES]
    if measured:
        _check(examples.uri, log_bytes, measured[-1])


def _check(folder: str, log_bytes: int, last: Any) -> None:
    factor = last[DISK_BYTES].int_value / last[LOG_BYTES].int_value
    needed, free = log_bytes * factor, shutil.disk_usage(_existing(folder)).free
    span = last["span"].int_value
    if free < needed:
        raise NoRoomError(
            f"the disk of {folder} must have room for what ingestion writes: about {needed / _MB:,.1f} MB, which is "
            f"{factor:.2f} times the {log_bytes / _MB:,.1f} MB of logs, as for span {span}. Received: "
            f"{free / _MB:,.1f} MB are free; free some space, then run the same command again to continue"
        )


def _existing(folder: str) -> Path:
    return next(path for path in (Path(folder), *Path(folder).absolute().parents) if path.exists())


def disk_bytes(folders: Iterable[str]) -> int:
    """Returns the bytes of all files in folders."""
    return sum(
        storage.status(os.path.join(folder, file)).num_bytes for folder in folders for file in storage.files(folder)
    )
