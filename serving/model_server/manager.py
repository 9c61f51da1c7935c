"""The models that are served: loads versions as they appear, says which one answers, drops those that are old.

A version is verified, loaded and warmed up beside the one that serves, by a thread of low priority, and takes over
between two requests. The old one is dropped once its last request is answered. A version that is broken is refused with
a sentence in the log; the one below it stays, or is loaded.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc
from tensorflow_serving.apis import model_pb2

from serving.model_server import version_files, warmup
from serving.model_server.errors import ServingError, invalid, not_found
from serving.model_server.logs import log
from serving.model_server.models import ModelConfig
from serving.model_server.servable import Servable
from serving.model_server.version import AVAILABLE, END, LOADING, UNLOADING, Version
from transform.errors import InputError

_R = TypeVar("_R")

#: How much nicer the thread is that loads: requests come first. Linux has a niceness for each thread.
_NICENESS = 10


class Manager:
    """All models and their versions. Its methods are for the event loop's thread."""

    def __init__(
        self, find_models: Callable[[], Iterable[ModelConfig]], num_threads: int, retry_seconds: float
    ) -> None:
        """Nothing is loaded yet.

        Args:
          find_models: The models; asked again at each look, until `reconfigure` says otherwise.
          num_threads: How many threads a matrix product is spread over.
          retry_seconds: After how long a version that could not be loaded is tried again.
        """
        self._num_threads = num_threads
        self._retry_seconds = retry_seconds
        self._find_models: Callable[[], Iterable[ModelConfig]] | None = find_models
        self._configs = {config.name: config for config in find_models()}
        self._versions: dict[str, dict[int, Version]] = {}
        self._lock = asyncio.Lock()
        self._loader = ThreadPoolExecutor(1, "loader", _stay_behind)
        self._unloads: set[asyncio.Task[None]] = set()
        #: Called after each change of what is loaded.
        self.on_change: Callable[[], Awaitable[None]] = _nothing

    @property
    def configs(self) -> dict[str, ModelConfig]:
        """By name, the models that are to be served."""
        return self._configs

    @property
    def ready(self) -> bool:
        """Whether every model has a version that answers."""
        return bool(self._configs) and all(self.latest(name) for name in self._configs)

    def versions(self, model: str) -> list[Version]:
        """All that is known of a model's versions, newest first as TF Serving has them."""
        return [version for _, version in sorted(self._versions.get(model, {}).items(), reverse=True)]

    def all_versions(self) -> list[Version]:
        """All that is known of all models' versions."""
        return [version for versions in self._versions.values() for version in versions.values()]

    def latest(self, model: str) -> Version | None:
        """The version that answers a request that names none."""
        return next((version for version in self.versions(model) if version.state == AVAILABLE), None)

    def resolve(self, spec: model_pb2.ModelSpec) -> Version:
        """The version that answers a request.

        Raises:
          ServingError: If there is none.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            version, wanted = self.latest(spec.name), f"Latest({spec.name})"
        else:
            number = self.number(spec)
            version, wanted = self._versions.get(spec.name, {}).get(number), f"Specific({spec.name}, {number})"
        if version is None or version.state != AVAILABLE:
            raise not_found(f"Servable not found for request: {wanted}")
        return version

    def number(self, spec: model_pb2.ModelSpec) -> int:
        """The version that a request names, by number or by label.

        Raises:
          ServingError: If there is no such label.
        """
        if spec.WhichOneof("version_choice") == "version":
            return int(spec.version.value)
        config = self._configs.get(spec.name)
        if config is None or spec.version_label not in config.labels:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return config.labels[spec.version_label]

    async def reconfigure(self, configs: Iterable[ModelConfig]) -> None:
        """Serves other models, or other versions, from now on; returns once they are loaded.

        Raises:
          ServingError: If a label's version is not there; it stays unknown.
        """
        self._find_models = None
        self._configs = {config.name: config for config in configs}
        await self.poll()
        for name, config in self._configs.items():
            for label, number in config.labels.items():
                version = self._versions.get(name, {}).get(number)
                if version is None or version.state != AVAILABLE:
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label {label} to version {number} of model {name}, which is not currently "
                        "available for inference",
                    )

    async def poll(self) -> None:
        """Looks once what is in the folders, loads what is new and lets go what is old."""
        async with self._lock:
            if self._find_models:  # a model whose folder is gone stays
                self._configs |= {config.name: config for config in self._find_models()}
            for name in {*self._configs, *self._versions}:
                await self._update(name, self._configs.get(name))

    async def _update(self, name: str, config: ModelConfig | None) -> None:
        known = self._versions.setdefault(name, {})
        found = await self._in_loader(version_files.versions, config.folder) if config else []
        for number in [number for number, version in known.items() if version.state == END and number not in found]:
            del known[number]
        wanted = self._wanted(config, found, known) if config else set()
        while config and (missing := [n for n in wanted if n not in known or known[n].state == END]):
            number = max(missing)
            known[number] = Version(name, number, os.path.join(config.folder, str(number)))
            await self._load(known[number])
            wanted = self._wanted(config, found, known)
        if config and not any(version.state == AVAILABLE for n, version in known.items() if n in wanted):
            return  # what serves stays, rather than nothing
        for number, version in known.items():
            if version.state == AVAILABLE and number not in wanted:
                task = asyncio.create_task(self._unload(version))
                self._unloads.add(task)
                task.add_done_callback(self._unloads.discard)
        if not config and not known:
            del self._versions[name]

    def _wanted(self, config: ModelConfig, found: list[int], known: dict[int, Version]) -> set[int]:
        now = asyncio.get_running_loop().time()
        refused = {number for number, version in known.items() if version.error and version.retry_at > now}
        return config.wanted(set(found) - refused)

    async def _load(self, version: Version) -> None:
        version.state = LOADING
        started = time.monotonic()
        try:
            version.pushed_at = os.stat(version.path).st_mtime
            load = self._in_loader if self.latest(version.model) else asyncio.to_thread  # nothing serves: hurry
            version.servable = await load(_load, version.path, self._num_threads)
        except Exception as error:  # whatever is wrong with a version, the server goes on without it
            version.error = error if isinstance(error, ServingError) else _load_error(error)
            version.retry_at = asyncio.get_running_loop().time() + self._retry_seconds
            version.state = END
            reason = version.error.message
            log("error", "a version was refused", model=version.model, version=version.number, reason=reason)
        else:
            version.state = AVAILABLE
            seconds = round(time.monotonic() - started, 3)
            log("info", "a version serves", model=version.model, version=version.number, seconds=seconds)
        await self.on_change()

    async def _unload(self, version: Version) -> None:
        version.state = UNLOADING
        await self.on_change()
        await version.drained()
        servable, version.servable = version.servable, None
        assert servable is not None
        # Its pages stay with the process, for the next load: `malloc_trim`, which would give them back, makes a request
        # beside it wait 8 ms.
        await self._in_loader(servable.close)
        version.state = END
        log("info", "a version was dropped", model=version.model, version=version.number)
        await self.on_change()

    async def _in_loader(self, function: Callable[..., _R], *args: object) -> _R:
        return await asyncio.get_running_loop().run_in_executor(self._loader, function, *args)

    async def watch(self, seconds: float) -> None:
        """Polls for ever, every so many seconds."""
        while True:
            try:
                await self.poll()
            except Exception as error:  # a folder that cannot be read, such as a share that is away: it may come back
                log("error", "the models' folders cannot be looked at", reason=f"{type(error).__name__}: {error}")
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Drops all versions. The requests have been answered; what is computed for nobody is ended."""
        async with self._lock:
            self._find_models, self._configs = None, {}
            for version in self.all_versions():
                if version.servable:
                    version.servable.cancel()
            for version in self.all_versions():
                if version.state == AVAILABLE:
                    await self._unload(version)
            await asyncio.gather(*self._unloads)
        self._loader.shutdown()


def _stay_behind() -> None:
    """Makes this thread, of all of the process, one that computes in the background."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(_NICENESS)


async def _nothing() -> None:
    return


def _load(path: str, num_threads: int) -> Servable:
    version_files.verify(path)
    try:
        servable = Servable(path, num_threads)
    except ServingError as error:
        raise ServingError(error.code, f"a version must load. Received: {error.message} ({path})") from error
    try:
        warmup.warm_up(servable, path)
    except BaseException as error:
        servable.close()
        if isinstance(error, ServingError):
            text = f"a version must answer its warm-up requests. Received: {error.message} ({path})"
            raise ServingError(error.code, text) from error
        raise
    return servable


def _load_error(error: Exception) -> ServingError:
    if isinstance(error, InputError):
        return ServingError(grpc.StatusCode.DATA_LOSS, str(error))
    return ServingError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
