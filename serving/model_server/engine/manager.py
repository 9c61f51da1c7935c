"""Manages the served models: follows their folders, and takes other configurations.

Each model has its own task, and files are read in threads of their own: a folder that hangs or cannot be read delays no
other model.
"""

from __future__ import annotations

import asyncio
import collections
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

import grpc

from serving.model_server.engine import version_files
from serving.model_server.engine.loader import Load, Loader, LoadSettings, reason, waits
from serving.model_server.engine.models import AVAILABLE, END, ModelConfig, ServedVersions, Version
from serving.model_server.engine.staging import Staging, check_staged
from serving.model_server.errors import ServingError
from serving.model_server.guard.background import BoundedReads
from serving.model_server.logs import log
from transform.errors import InputError, UserError

#: The log messages about all models' folders, and about one model's.
_ALL_UNREADABLE, _UNREADABLE = "the models' folders cannot be read", "a model's folder cannot be read"

_GONE = "the newest version's folder is gone; an older version answers"

#: The most versions of a model that are reported after they were unloaded and their folders are gone.
_MAX_GONE = 100


class Manager(ServedVersions):
    """All models and their versions. Use it only in the event loop's thread."""

    def __init__(self, find_models: Callable[[], Iterable[ModelConfig]], load: Load, settings: LoadSettings) -> None:
        """Makes a manager that has loaded nothing yet.

        Args:
          find_models: Returns the models to serve. It is called at each poll, until `reconfigure` sets other models.
          load: Loads a version.
          settings: How versions are loaded.
        """
        super().__init__(find_models())
        self._find_models: Callable[[], Iterable[ModelConfig]] | None = find_models
        self._updates: dict[str, asyncio.Task[Any]] = {}
        #: The changes of the configuration that are at work; how many there have been; the number of the one in effect.
        self._changes: set[asyncio.Task[None]] = set()
        self._num_changes = self._in_effect = 0
        #: By model, how many changes stage versions of it; no update then unloads those that a change keeps.
        self._num_staging: collections.Counter[str] = collections.Counter()
        #: Called after each change of the loaded versions.
        self.on_change: Callable[[], Awaitable[None]] = _nothing
        self._loader = Loader(self, load, settings, lambda: self.on_change())
        self._staging = Staging(self, self._loader)

    @property
    def reads(self) -> BoundedReads:
        """The reads of the models' folders."""
        return self._loader.reads

    async def reconfigure(self, configs: Iterable[ModelConfig]) -> None:
        """Serves other models or versions from now on, or changes nothing; returns once they are loaded.

        The versions of models that are new or changed are loaded first, while the current ones serve. Changes do not
        wait for each other: a later one may take effect first. Cancelling the caller does not cancel the change.

        Raises:
          ServingError: If none of such a model's versions loads, a label's version is not available, or a later change
            has taken effect meanwhile.
        """
        self._num_changes += 1
        steps = self._reconfigure({config.name: config for config in configs}, self._num_changes)
        task = asyncio.create_task(steps)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # the caller may be gone
        await asyncio.shield(task)

    async def _reconfigure(self, requested: dict[str, ModelConfig], number: int) -> None:
        changed: set[str] | None = None
        while changed is None:
            changed = await self._stage_and_take_over(requested, number)
        await self._end_updates(changed)  # which the old configuration began meanwhile
        updates = self._start_updates()
        await asyncio.gather(*(updates[name] for name in changed if name in updates))
        await self.on_change()

    async def _stage_and_take_over(self, requested: dict[str, ModelConfig], number: int) -> set[str] | None:
        """Loads what is new in a configuration, which then takes effect.

        Returns:
          The models that it changes. None if an earlier change has taken effect meanwhile, and this one has not: what
          has to be loaded may be something else now.
        """
        changed = {name for name in {*requested, *self.configs} if requested.get(name) != self.configs.get(name)}
        await self._end_updates(changed)  # by the old configuration
        before = self._in_effect
        staging = {
            name: asyncio.create_task(self._staging.stage(requested[name]))
            for name in sorted(changed & requested.keys())
        }
        self._num_staging.update(staging.keys())
        try:
            results = await asyncio.gather(*staging.values(), return_exceptions=True)
            if self._in_effect > number:
                raise ServingError(grpc.StatusCode.ABORTED, "a later configuration has taken effect meanwhile")
            if self._in_effect != before:
                self._staging.discard(staging)
                return None
            check_staged(staging, results)
            staged = {name: task.result() for name, task in staging.items()}
            self._staging.check_labels(requested, staged)
            changed |= self.configs.keys() - requested.keys()  # models that were found meanwhile
            self._find_models, self.configs, self._in_effect = None, requested, number
            for name, known in staged.items():
                self._staging.take_over(name, known)
            return changed
        except BaseException:
            self._staging.discard(staging)
            raise
        finally:
            self._num_staging.subtract(staging.keys())

    async def _end_updates(self, names: Collection[str]) -> None:
        """Waits until no update of these models runs."""
        while busy := [self._updates[name] for name in names if name in self._updates]:
            await asyncio.wait(busy)

    async def watch(self, seconds: float) -> None:
        """Polls the folders forever, at this interval in seconds: loads new versions and unloads old ones."""
        while True:
            if self._find_models:
                try:
                    found = await self._loader.look("the models' folders", self._find_models)
                except (OSError, UserError) as error:  # a share, or a model with a label, is missing: it may come back
                    self._loader.folder_log.say("", _ALL_UNREADABLE, reason=reason(error))
                else:
                    self._loader.folder_log.end_all_but("")
                    if self._find_models is not None:  # `reconfigure` was not called meanwhile
                        self.configs |= {config.name: config for config in found}
            self._start_updates()
            await asyncio.sleep(seconds)

    def _start_updates(self) -> dict[str, asyncio.Task[Any]]:
        """Starts an update of each model that has none running; returns all running updates.

        A model that a change of the configuration stages has none.
        """
        for name in {*self.configs, *self.by_model}:
            if name not in self._updates and not self._num_staging[name]:
                task = self._updates[name] = asyncio.create_task(self._look_after(name))
                task.add_done_callback(functools.partial(self._end_update, name))
        return dict(self._updates)

    def _end_update(self, name: str, task: asyncio.Task[Any]) -> None:
        del self._updates[name]

    async def _look_after(self, name: str) -> None:
        try:
            await self._update(name, self.configs.get(name))
        except (OSError, InputError) as error:  # the loaded versions stay
            self._loader.folder_log.say(name, _UNREADABLE, reason=reason(error))
        else:
            self._loader.folder_log.end(name, _UNREADABLE)
        if name not in self.looked_at:
            self.looked_at.add(name)
            await self.on_change()

    async def _update(self, name: str, config: ModelConfig | None) -> None:
        known = self.by_model.setdefault(name, {})
        existing: dict[int, str] = {}
        if config:
            existing = await self._loader.look(config.folder, version_files.versions, config.folder)
        self._loader.folder_log.end_all_but(name, [_UNREADABLE, *map(waits, existing)])
        self._forget_gone(known, existing, most=_MAX_GONE if config else 0)
        newest = self.latest(name)
        requested = await self._loader.load_requested(config, existing, known, {}) if config else set()
        if config and not any(version.state == AVAILABLE for n, version in known.items() if n in requested):
            return  # keep the loaded versions, rather than serve nothing
        for number, version in known.items():
            if version.state == AVAILABLE and number not in requested:
                self._loader.start_unload(version)
        answers = self.latest(name)
        if newest and newest.number not in existing and answers and answers.number < newest.number:
            log("warning", _GONE, model=name, version=answers.number, gone=newest.number)
        if not config and not known:
            del self.by_model[name]

    def _forget_gone(self, known: dict[int, Version], existing: Collection[int], most: int) -> None:
        """Forgets the refused versions that are gone, and of those that were unloaded all but the last `most`.

        TF Serving reports an unloaded version as END for ever.
        """
        gone = sorted(n for n, version in known.items() if version.state == END and n not in existing)
        unloaded = [n for n in gone if not known[n].error]
        for number in {*gone} - {*unloaded[max(0, len(unloaded) - most) :]}:
            del known[number]

    async def close(self, seconds: float) -> None:
        """Unloads all versions. The requests have been answered; computations that no one waits for are aborted.

        Args:
          seconds: The longest wait for versions that are being loaded.
        """
        self._find_models, self.configs = None, {}
        if busy := [*self._updates.values(), *self._changes]:
            await asyncio.wait(busy, timeout=seconds)
        cancelled = [*self._updates.values(), *self._changes]
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)  # only now are the overdue reads complete
        for version in self.all_versions():
            if version.servable:
                version.servable.cancel()
            if version.state == AVAILABLE:
                self._loader.start_unload(version)
        await self._loader.finish_unloads()


async def _nothing() -> None:
    return
