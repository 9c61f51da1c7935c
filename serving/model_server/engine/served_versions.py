"""The models to serve and their versions: which there are, and which one answers a request."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from tensorflow_serving.apis import model_pb2

from serving.model_server.engine.models import ModelConfig
from serving.model_server.engine.version import AVAILABLE, Version
from serving.model_server.errors import ServingError, invalid, not_found


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
