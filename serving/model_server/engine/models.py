"""The configuration of the models to serve: their folders, and which of their versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
      name: Its name in requests.
      folder: Its folder of versions.
      num_latest: How many of the newest versions are loaded; None for all. The newest answers a request that names no
        version.
      specific: If not empty, these versions are loaded in place of the newest.
      labels: The version of each label, such as `stable` or `canary`; it is loaded too.
    """

    name: str
    folder: str
    num_latest: int | None = 1
    specific: tuple[int, ...] = ()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def requested(self, found: Iterable[int]) -> set[int]:
        """The versions to load, of those that were found."""
        existing = sorted(found)
        newest = existing if self.num_latest is None else existing[-self.num_latest :] if self.num_latest else []
        return set(existing) & {*(self.specific or newest), *self.labels.values()}


def local_path(path: str) -> str:
    """Converts a path of TF Serving's configuration, which may be a URI such as `file:///models/m`.

    Other file systems are not supported: a URI of one is returned as it is, and is not an absolute path.
    """
    return path.removeprefix("file://")
