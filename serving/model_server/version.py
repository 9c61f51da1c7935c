"""A version of a model, from when it is found until it is dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from tensorflow_serving.apis import get_model_status_pb2

from serving.model_server.errors import ServingError
from serving.model_server.servable import Servable

#: TF Serving's own states.
START, LOADING, AVAILABLE, UNLOADING, END = (
    getattr(get_model_status_pb2.ModelVersionStatus, name)
    for name in ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")
)


class Version:
    """A version of a model; all but `servable`'s own methods is for the event loop's thread.

    Attributes:
      state: One of TF Serving's.
      error: Why it could not be loaded.
      retry_at: When it, or the files that were refused, may be tried again, on the event loop's clock.
      files: The fingerprint of the files that it was loaded from.
      refused_files: That of files under its number that came later and did not load; empty without such.
      servable: What computes, while it is available and until it is drained.
      pushed_at: When its folder was last changed, in seconds since 1970, once it is loaded.
      answered: Whether a request that named no version was answered by it.
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
        """Keeps its servable from being freed until `release`, which must be called once for each call of this."""
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
        """Holds it for a block of code.

        A request's handler ends when its client gives up, while its computation goes on: that holds the version by
        itself (`WorkQueue.run`).
        """
        try:
            yield self.hold()
        finally:
            self.release()

    async def drained(self) -> None:
        """Waits until nothing holds it."""
        await self._drained.wait()
