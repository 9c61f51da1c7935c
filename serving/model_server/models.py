"""What is to be served: models, their folders, and which of their versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
      name: What requests call it.
      folder: Its folder of versions.
      num_latest: How many of the newest versions are loaded, None for all; the newest of them answers a request that
        names none.
      specific: Loaded in their place, if there are any: these versions.
      labels: By label, such as `stable` or `canary`, a version, which is loaded too.
    """

    name: str
    folder: str
    num_latest: int | None = 1
    specific: tuple[int, ...] = ()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def wanted(self, found: Iterable[int]) -> set[int]:
        """Those of the versions there are that are to be loaded."""
        there = sorted(found)
        newest = there if self.num_latest is None else there[-self.num_latest :] if self.num_latest else []
        return set(there) & {*(self.specific or newest), *self.labels.values()}


def local_path(path: str) -> str:
    """A path of TF Serving's configuration, which may be written as a URI, such as `file:///models/m`.

    No other file system is served from: the rest of such a URI is no absolute path.
    """
    return path.removeprefix("file://")
