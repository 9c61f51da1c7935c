"""A mistyped folder or model: the sentence names what there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
from click.testing import CliRunner

from pipeline.cli.options import PushedVersion
from pipeline.cli.ranking import rank
from transform.files.version_layout import SAVED_MODEL_FILE


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    """A workspace's folder of a model with the versions 1 to 7, and an artifact with a version's name."""
    for version in range(1, 8):
        folder = tmp_path / "workspace" / "serving" / "store" / str(version)
        folder.mkdir(parents=True)
        (folder / SAVED_MODEL_FILE).touch()
    (tmp_path / "workspace" / "artifacts" / "trainer" / "model" / "9").mkdir(parents=True)
    return tmp_path / "workspace" / "serving" / "store"


def convert(path: Path) -> str:
    return PushedVersion().convert(str(path), None, None)


def test_a_version_is_taken_as_it_is(serving: Path) -> None:
    assert convert(serving / "3") == str(serving / "3")


@pytest.mark.parametrize(
    "mistyped",
    [
        lambda serving: serving,
        lambda serving: serving / "8",
        lambda serving: serving.parent,
        lambda serving: serving.parents[1],
        lambda serving: serving.parent / "stoer",
    ],
)
def test_another_path_is_told_with_the_versions_that_there_are(serving: Path, mistyped: Callable[[Path], Path]) -> None:
    path = mistyped(serving)
    there = ", ".join(f"{serving}/{version}" for version in (3, 4, 5, 6, 7))
    with pytest.raises(click.BadParameter) as caught:
        convert(path)
    assert caught.value.message == f"must be the folder of a pushed version. Received: {path}; there are {there}"


def test_a_path_without_versions_nearby_is_told_alone(tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter) as caught:
        convert(tmp_path / "a" / "b")
    assert caught.value.message.endswith(f"Received: {tmp_path}/a/b, and there is none nearby")


class _WithoutTheModel(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A busy server without the model: it answers after more than a client's usual time limit."""

    def service(self, _: Any) -> Any:
        def answer(__: bytes, context: Any) -> None:
            time.sleep(1.5)
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(stoer)")

        return grpc.unary_unary_rpc_method_handler(answer)


def test_a_busy_server_says_that_it_does_not_have_the_model() -> None:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[_WithoutTheModel()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    arguments = ["--server", f"127.0.0.1:{port}", "--model", "stoer", "--context", "{}", "--items", "a"]
    done = CliRunner().invoke(rank, arguments)
    server.stop(None)
    assert str(done.exception).startswith("the model server must have the model. Received: NOT_FOUND: Servable not ")
