"""Tests of the check that a disk has room for an ingestion."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2

from components.artifacts import DISK_BYTES, GZIP_BYTES, INPUT_FINGERPRINT, LOG_BYTES, RECIPE, UNFIT
from components.ingestion.disk_room import check_room, disk_bytes
from transform.errors import NoRoomError

PIPELINE = "rank"
LIVE, DELETED = metadata_store_pb2.Artifact.LIVE, metadata_store_pb2.Artifact.DELETED


class Ingestions:
    """ML Metadata, in memory, with the ingestions of a pipeline."""

    def __init__(self) -> None:
        config = metadata_store_pb2.ConnectionConfig()
        config.fake_database.SetInParent()
        self.store = mlmd.MetadataStore(config)
        self._type = self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Examples"))
        kind = self.store.put_context_type(metadata_store_pb2.ContextType(name="pipeline"))
        context = metadata_store_pb2.Context(type_id=kind, name=PIPELINE)
        (self._context,) = self.store.put_contexts([context])

    def examples(self, folder: Path, fingerprint: str, log_bytes: int) -> metadata_store_pb2.Artifact:
        examples = metadata_store_pb2.Artifact(type_id=self._type, uri=str(folder / "not" / "yet"))
        properties = examples.custom_properties
        properties[RECIPE].string_value, properties[INPUT_FINGERPRINT].string_value = "recipe", fingerprint
        properties[LOG_BYTES].int_value, properties["span"].int_value = log_bytes, 7
        return examples

    def add(self, examples: metadata_store_pb2.Artifact, disk: int, state: int = LIVE) -> None:
        examples.custom_properties[DISK_BYTES].int_value, examples.state = disk, state
        (added,) = self.store.put_artifacts([examples])
        part = metadata_store_pb2.Attribution(artifact_id=added, context_id=self._context)
        self.store.put_attributions_and_associations([part], [])


def test_the_least_that_an_earlier_ingestion_needed_is_checked(tmp_path: Path) -> None:
    earlier = Ingestions()
    free = shutil.disk_usage(tmp_path).free
    fits, larger = free // 5, 2 * free
    earlier.add(earlier.examples(tmp_path, "day 5", free), disk=10**18)
    earlier.add(earlier.examples(tmp_path, "day 6", 4 * free), disk=10 * free)
    earlier.add(earlier.examples(tmp_path, "day 7", free), disk=10**18)
    other = earlier.examples(tmp_path, "day 7", free)
    other.custom_properties[RECIPE].string_value = "another recipe"
    earlier.add(other, disk=10**18)
    check_room(earlier.store, PIPELINE, earlier.examples(tmp_path, "day 8", fits))
    with pytest.raises(NoRoomError) as caught:
        check_room(earlier.store, PIPELINE, earlier.examples(tmp_path, "day 8", larger))
    needed, log = f"{larger * 2.5 / 2**20:,.1f} MB", f"{larger / 2**20:,.1f} MB"
    expected = f"about {needed} (the logs have {log}; earlier ingestions wrote at least 2.50 times their logs). "
    assert str(caught.value).startswith(f"the disk of {tmp_path} must have room for what ingestion writes: {expected}")


def test_without_an_earlier_ingestion_nothing_is_known(tmp_path: Path) -> None:
    earlier = Ingestions()
    day = earlier.examples(tmp_path, "day 8", 10**12)
    check_room(earlier.store, PIPELINE, day)
    earlier.add(earlier.examples(tmp_path, "day 7", 10**12), disk=10**18, state=DELETED)
    check_room(earlier.store, PIPELINE, day)
    earlier.add(earlier.examples(tmp_path, "day 7", 10**11), disk=10**17)  # a tenth as large: too small
    check_room(earlier.store, PIPELINE, day)
    earlier.add(earlier.examples(tmp_path, "day 7", 10**11 + 1), disk=10**17)
    with pytest.raises(NoRoomError):
        check_room(earlier.store, PIPELINE, day)
    check_room(earlier.store, "another pipeline", day)


@pytest.mark.parametrize("name", [GZIP_BYTES, UNFIT])
def test_logs_in_gzip_and_unfit_rows_are_no_estimate_for_others(tmp_path: Path, name: str) -> None:
    earlier = Ingestions()
    day = earlier.examples(tmp_path, "day 8", 1_000)
    other = earlier.examples(tmp_path, "day 7", 1_000)
    if name == GZIP_BYTES:
        other.custom_properties[GZIP_BYTES].int_value = 101
    else:
        other.custom_properties[UNFIT].string_value = "too many rows were rejected"
    earlier.add(other, disk=10**18)
    check_room(earlier.store, PIPELINE, day)
    similar = earlier.examples(tmp_path, "day 6", 1_000)
    similar.custom_properties[GZIP_BYTES].int_value = 100
    earlier.add(similar, disk=10**18)
    with pytest.raises(NoRoomError):
        check_room(earlier.store, PIPELINE, day)


def test_examples_of_the_cache_need_no_room(tmp_path: Path) -> None:
    earlier = Ingestions()
    earlier.add(earlier.examples(tmp_path, "day 7", 1), disk=10**18)
    check_room(earlier.store, PIPELINE, earlier.examples(tmp_path, "day 7", 1))


def test_an_object_store_has_no_disk(tmp_path: Path) -> None:
    earlier = Ingestions()
    earlier.add(earlier.examples(tmp_path, "day 7", 1), disk=10**18)
    examples = earlier.examples(tmp_path, "day 8", 1)
    examples.uri = "gs://bucket/examples/8"
    check_room(earlier.store, PIPELINE, examples)


def test_the_bytes_of_all_files_count(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for number, path in enumerate((tmp_path / "a" / "b" / "file", tmp_path / "a" / "file"), 1):
        path.write_bytes(os.urandom(2**20 * number))
    (tmp_path / "c").mkdir()
    in_blocks = disk_bytes([str(tmp_path / "a"), str(tmp_path / "c")])
    assert 3 * 2**20 <= in_blocks < 3 * 2**20 + 2 * 65_536
