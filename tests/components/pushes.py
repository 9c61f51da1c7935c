"""Helpers that push a small model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from components.model_store.manifest import Manifest
from components.model_store.versions import checksums
from components.push.push_version import Candidate, push


def raw_example(x: float) -> bytes:
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(x)
    serialized: bytes = example.SerializeToString()
    return serialized


def another_export(model: Path, folder: Path, mark: str) -> Path:
    """Copies a model as a new export with the same scores: its `fingerprint.pb` has another number."""
    if not folder.exists():
        shutil.copytree(model, folder)
        fingerprint = fingerprint_pb2.FingerprintDef(uuid=mark)
        (folder / "Format-Serving" / "fingerprint.pb").write_bytes(fingerprint.SerializeToString())
    return folder


def push_one(model: Path, catalog: Path, root: Path, uri: str, keep: int = 9, **lineage: Any) -> int:
    """Pushes an export of a model; each URI has an export of its own, as each run makes one."""
    model = another_export(model, root.parent.parent / "exports" / uri, uri)
    return push(
        candidate(model, catalog, Manifest(**{"model_uri": uri, "spans": (1,), **lineage})), str(root), keep
    ).version


def candidate(model: Path, catalog: Path, manifest: Manifest) -> Candidate:
    """Returns a model to push, with 120 requests."""
    path = str(model / "Format-Serving")
    requests = [raw_example(x) for x in range(120)]
    return Candidate(path, manifest, checksums(path), str(catalog), '{"name": "x"}', requests)
