"""TFX's statistics of a span's training examples."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeAlias

from tensorflow_metadata.proto.v0 import statistics_pb2

_FILE = os.path.join("Split-train", "FeatureStats.pb")

#: By feature, its statistics.
Statistics: TypeAlias = Mapping[str, statistics_pb2.FeatureNameStatistics]


def read_statistics(uri: str) -> Statistics:
    """Reads the statistics of a span's training examples, by feature; empty if there are none.

    Args:
      uri: The folder of an ExampleStatistics artifact.
    """
    path = os.path.join(uri, _FILE)
    if not os.path.exists(path):
        return {}
    with open(path, "rb") as file:
        datasets = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read()).datasets
    return {".".join(f.path.step) or f.name: f for dataset in datasets for f in dataset.features}
