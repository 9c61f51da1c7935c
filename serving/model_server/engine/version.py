"""A version of a model, from when it is found until it is unloaded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from tensorflow_serving.apis import get_model_status_pb2

from serving.model_server.engine.servable import Servable
from serving.model_server.errors import ServingError

#: The states that TF Serving defines.
START, LOADING, AVAILABLE, UNLOADING, END = (
    getattr(get_model_status_pb2.ModelVersionStatus, name)
    for name in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")
)


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
