"""The models to serve and their versions: which there are, and which one answers a request."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from serving.model_server.engine.servable import Servable
from serving.model_server.errors import ServingError, invalid, not_found

#: The states that TF Serving defines.
START, LOADING, AVAILABLE, UNLOADING, END = (
    getattr(get_model_status_pb2.ModelVersionStatus, name)
    for name in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")
)


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


class Version:
    """A version of a model. Except for the methods of `servable`, use it only in the event loop's thread.

    Attributes:
      state: One of TF Serving's states.
      error: Why it could not be loaded; None otherwise.
      retry_at: When it, or its refused files, may be tried again, on the event loop's clock.
      files: The fingerprint of the files from which it was loaded.
      refused_files: The fingerprint of later files under its number that did not load; empty without such files.
      servable: The loaded model, from when it is available until it is drained.
      pushed_at: When its folder last changed, in seconds since 1970, once it is loaded.
      answered: Whether it has answered a request that named no version.
    """

    def __init__(self, model: str, number: int, path: str, files: str = "") -> None:
        self.model = model
        self.number = number
        self.path = path
        self.files = files
        self.refused_files = ""
        self.state: int = START
        self.error: ServingError | None = None
        self.retry_at = 0.0
        self.servable: Servable | None = None
        self.pushed_at = 0.0
        self.answered = False
        self._num_users = 0
        self._drained = asyncio.Event()
        self._drained.set()

    def hold(self) -> Servable:
        """Prevents the servable from being freed until `release`, which must be called once for each call of this."""
        assert self.servable is not None
        self._num_users += 1
        self._drained.clear()
        return self.servable

    def release(self) -> None:
        """Ends one `hold`."""
        self._num_users -= 1
        if not self._num_users:
            self._drained.set()

    @contextlib.contextmanager
    def used(self) -> Iterator[Servable]:
        """Holds the version within a block of code.

        A request's handler ends when its client gives up, but its computation continues, and holds the version itself
        (`WorkQueue.run`).
        """
        try:
            yield self.hold()
        finally:
            self.release()

    async def drained(self) -> None:
        """Waits until nothing holds it."""
        await self._drained.wait()


class ServedVersions:
    """All models and their versions. Use it only in the event loop's thread.

    Attributes:
      configs: The models to serve, by name.
      by_model: The known versions, by model and number.
      looked_at: The models that have been checked once: served, refused, or without a complete version.
    """

    def __init__(self, configs: Iterable[ModelConfig]) -> None:
        self.configs = {config.name: config for config in configs}
        self.by_model: dict[str, dict[int, Version]] = {}
        self.looked_at: set[str] = set()
        self._was_ready = False
        self._was_started = False

    @property
    def ready(self) -> bool:
        """Whether a version answers, and every model with a complete version has been served or refused once.

        A model that appears later does not change this.
        """
        if self.looked_at >= self.configs.keys():
            self._was_ready = self._was_ready or any(self.latest(name) for name in self.configs)
        return self._was_ready and any(self.latest(name) for name in self.configs)

    @property
    def started(self) -> bool:
        """Whether every initial model has been checked once: it is served, refused, or has no complete version."""
        self._was_started = self._was_started or self.looked_at >= self.configs.keys()
        return self._was_started

    def versions(self, model: str) -> list[Version]:
        """A model's known versions, newest first as in TF Serving."""
        return [version for _, version in sorted(self.by_model.get(model, {}).items(), reverse=True)]

    def all_versions(self) -> list[Version]:
        """The known versions of all models."""
        return [version for versions in self.by_model.values() for version in versions.values()]

    def latest(self, model: str) -> Version | None:
        """The version that answers requests that name none; None if there is none."""
        return next((version for version in self.versions(model) if version.state == AVAILABLE), None)

    def counted_name(self, model: str) -> str:
        """A model's name as metrics have it: empty if no such model is served, since each name would make a series."""
        return model if model in self.configs else ""

    def resolve(self, spec: model_pb2.ModelSpec) -> Version:
        """Resolves the version that answers a request.

        Raises:
          ServingError: If there is none. The code is UNAVAILABLE while the first models load: it may still appear.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            version, requested = self.latest(spec.name), f"Latest({spec.name})"
        else:
            number = self.number(spec)
            version, requested = self.by_model.get(spec.name, {}).get(number), f"Specific({spec.name}, {number})"
        if version is None or version.state != AVAILABLE:
            self.check_started()
            raise not_found(f"Servable not found for request: {requested}")
        return version

    def check_started(self) -> None:
        """Raises UNAVAILABLE while the first models load; TF Serving's ports are still closed at that time."""
        if not self.started:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE, "the model server is still loading its first models; try again"
            )

    def number(self, spec: model_pb2.ModelSpec) -> int:
        """The number of the version that a request names, by number or by label.

        Raises:
          ServingError: If the model has no such label.
        """
        if spec.WhichOneof("version_choice") == "version":
            return int(spec.version.value)
        config = self.configs.get(spec.name)
        if config is None or spec.version_label not in config.labels:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return config.labels[spec.version_label]
