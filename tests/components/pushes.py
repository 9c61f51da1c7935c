"""A push of a small model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from components.push import push
from components.versions import checksums


def raw_example(x: float) -> bytes:
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(x)
    serialized: bytes = example.SerializeToString()
    return serialized


def push_one(model: Path, catalog: Path, root: Path, uri: str, keep: int = 9, **lineage: Any) -> int:
    return push(
        str(model / "Format-Serving"),
        str(catalog),
        str(root),
        '{"name": "x"}',
        {"model_uri": uri, "spans": [1], **lineage},
        keep,
        [raw_example(x) for x in range(120)],
        checksums(str(model / "Format-Serving")),
    ).version
