"""Tests that loaded versions are freed if a new configuration does not take effect, and of an end during a load."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import model_pb2

from serving.model_server.engine import version_files
from serving.model_server.engine.loader import LoadSettings
from serving.model_server.engine.manager import Manager
from serving.model_server.engine.models import ModelConfig
from serving.model_server.engine.version_files import VersionFiles
from serving.model_server.errors import ServingError


class Loaded:
    """A fake of a loaded version: only its loading and freeing matter here."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


SETTINGS = LoadSettings(retry_seconds=60, settle_seconds=0, load_seconds=60)


def _manager(loaded: list[Loaded]) -> Manager:
    """A manager without models, which adds the versions that it loads to a list."""

    def load(path: str) -> tuple[float, Any]:
        loaded.append(Loaded(path))
        return 0.0, loaded[-1]

    return Manager(list, load, SETTINGS)


def _config(folder: Path, name: str, num_latest: int = 1) -> ModelConfig:
    for number in ("1", "2"):
        (folder / name / number).mkdir(parents=True, exist_ok=True)
        (folder / name / number / "saved_model.pb").write_bytes(b"")
    return ModelConfig(name, str(folder / name), num_latest)


def _reconfigured(
    error: type[Exception], *configs: ModelConfig, then: Callable[[Manager], None] | None = None
) -> list[Loaded]:
    """The versions that a change of the configuration loads; the change must end with an error."""
    loaded: list[Loaded] = []

    async def reconfigure() -> None:
        found = _manager(loaded)
        if then:
            then(found)
        with pytest.raises(error):
            await found.reconfigure(configs)
        await asyncio.sleep(0)

    asyncio.run(reconfigure())
    return loaded


def test_a_staged_version_is_freed_if_the_next_one_s_files_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = version_files.inspect

    def fail_at_1(path: str, settle_seconds: float) -> VersionFiles:
        if path.endswith("/1"):
            raise PermissionError(path)
        return inspect(path, settle_seconds)

    monkeypatch.setattr(version_files, "inspect", fail_at_1)
    (version,) = _reconfigured(ServingError, _config(tmp_path, "a", num_latest=2))
    assert version.path == str(tmp_path / "a" / "2")
    assert version.closed.wait(10)


def test_staged_versions_are_freed_after_an_error_that_nobody_expects(tmp_path: Path) -> None:
    """For example, a failure of the server itself while it stages another model."""

    def break_one(found: Manager) -> None:
        stage = found._staging.stage

        def stage_or_fail(config: ModelConfig) -> Awaitable[object]:
            return _fail() if config.name == "b" else stage(config)

        found._staging.stage = stage_or_fail  # type: ignore[method-assign,assignment]

    async def _fail() -> None:
        raise ZeroDivisionError

    (version,) = _reconfigured(ZeroDivisionError, _config(tmp_path, "a"), _config(tmp_path, "b"), then=break_one)
    assert version.closed.wait(10)


def test_a_model_that_goes_is_gone_once_the_change_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher started to update the model by the old configuration while the change was being prepared."""
    inspect = version_files.inspect

    def slow_at_a(path: str, settle_seconds: float) -> VersionFiles:
        time.sleep(0.5 if "/a/" in path else 0)
        return inspect(path, settle_seconds)

    async def reconfigure() -> None:
        found = _manager([])
        await found.reconfigure([_config(tmp_path, "a")])
        assert found.resolve(model_pb2.ModelSpec(name="a")).number == 2
        stage = found._staging.stage

        def stage_meanwhile(config: ModelConfig) -> Awaitable[object]:
            found._start_updates()
            return stage(config)

        found._staging.stage = stage_meanwhile  # type: ignore[method-assign,assignment]
        monkeypatch.setattr(version_files, "inspect", slow_at_a)
        await found.reconfigure([_config(tmp_path, "b")])
        with pytest.raises(ServingError, match="a"):
            found.resolve(model_pb2.ModelSpec(name="a"))

    asyncio.run(reconfigure())


def _unfinished(folder: Path, name: str) -> ModelConfig:
    """A model whose only version has no graph yet."""
    (folder / name / "1").mkdir(parents=True)
    return ModelConfig(name, str(folder / name))


def test_a_change_waits_for_no_other_and_the_last_one_holds(tmp_path: Path) -> None:
    """The first change names a folder that is never finished; a later one of the same model is done at once."""

    async def reconfigure() -> tuple[Manager, object]:
        found = _manager([])
        first = asyncio.create_task(found.reconfigure([_config(tmp_path, "a"), _unfinished(tmp_path / "later", "b")]))
        while not found._num_staging["b"]:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(found.reconfigure([_config(tmp_path, "b")]), 10)
        (tmp_path / "later" / "b" / "1" / "saved_model.pb").write_bytes(b"")
        (outcome,) = await asyncio.gather(first, return_exceptions=True)
        return found, outcome

    found, outcome = asyncio.run(reconfigure())
    assert isinstance(outcome, ServingError)
    assert (outcome.code, outcome.message) == (
        grpc.StatusCode.ABORTED,
        "a later configuration has taken effect meanwhile",
    )
    assert {name: config.folder for name, config in found.configs.items()} == {"b": str(tmp_path / "b")}
    assert found.resolve(model_pb2.ModelSpec(name="b")).number == 2


def test_a_change_that_is_overtaken_by_an_earlier_one_takes_effect_after_it(tmp_path: Path) -> None:
    """It keeps none of the versions that the earlier one has replaced."""
    loaded: list[Loaded] = []

    async def reconfigure() -> Manager:
        found = _manager(loaded)
        a, elsewhere = _config(tmp_path, "a"), _config(tmp_path / "elsewhere", "a")
        await found.reconfigure([a])
        first = asyncio.create_task(found.reconfigure([elsewhere, _unfinished(tmp_path, "b")]))
        second = asyncio.create_task(
            found.reconfigure([dataclasses.replace(a, num_latest=2), _unfinished(tmp_path, "c")])
        )
        while not (found._num_staging["b"] and found._num_staging["c"]):
            await asyncio.sleep(0.01)
        (tmp_path / "b" / "1" / "saved_model.pb").write_bytes(b"")
        await first
        assert found.resolve(model_pb2.ModelSpec(name="a")).path == str(tmp_path / "elsewhere" / "a" / "2")
        (tmp_path / "c" / "1" / "saved_model.pb").write_bytes(b"")
        await second
        return found

    found = asyncio.run(reconfigure())
    assert sorted(found.configs) == ["a", "c"]
    assert {number: version.path for number, version in found.by_model["a"].items()} == {
        number: str(tmp_path / "a" / str(number)) for number in (1, 2)
    }
    in_use = {id(version.servable) for version in found.all_versions()}
    assert all(each.closed.wait(10) for each in loaded if id(each) not in in_use)
    assert not any(each.closed.is_set() for each in loaded if id(each) in in_use)


def test_a_version_that_still_loads_at_the_end_is_overdue(tmp_path: Path) -> None:
    """The process must then end without the libraries' clean-up, which would crash the thread that loads."""
    begun, end = threading.Event(), threading.Event()

    def load(path: str) -> tuple[float, Any]:
        begun.set()
        end.wait(60)
        return 0.0, Loaded(path)

    async def stop_during_the_load() -> list[str]:
        configs = [_config(tmp_path, "a")]
        found = Manager(lambda: configs, load, SETTINGS)
        watching = asyncio.create_task(found.watch(60))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        watching.cancel()
        await found.close(0.01)
        overdue = found.reads.overdue
        end.set()
        while found.reads.overdue:
            await asyncio.sleep(0.01)
        return overdue

    assert asyncio.run(stop_during_the_load()) == [str(tmp_path / "a" / "2")]
