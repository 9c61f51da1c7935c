"""The queue by itself: what it counts, and what it does with an error that nobody foresaw."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.servable import Signature
from serving.model_server.version import Version
from serving.model_server.work_queue import WorkQueue


class Broken:
    """A model that computes one request once it may, and fails for every other in a way of its own."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.num_running: list[int] = []
        self.queue: WorkQueue | None = None

    def run(self, *_: Any, deadline: float) -> dict[str, Any]:
        assert self.queue is not None
        self.num_running.append(self.queue.num_running)
        if len(self.num_running) == 1:
            self.may_go_on.wait()
            return {}
        raise RuntimeError("broken")


def a_signature() -> Signature:
    info = meta_graph_pb2.TensorInfo()
    info.tensor_shape.dim.add(size=-1)
    definition = meta_graph_pb2.SignatureDef(inputs={"x": info}, outputs={"y": info})
    return Signature("s", definition, feeds={"x": None}, fetches={"y": None})  # type: ignore[dict-item]


def test_an_error_that_nobody_foresaw_is_each_request_s_and_ends_no_thread() -> None:
    servable = Broken()
    queue = servable.queue = WorkQueue(num_threads=1, max_waiting=9, max_batch=8)
    signature, inputs = a_signature(), {"x": tf.make_tensor_proto([1.0])}
    version = Version("m", 1, "")
    version.servable = servable  # type: ignore[assignment]

    def run() -> asyncio.Task[Any]:
        return asyncio.create_task(queue.run(version, signature, inputs, time.monotonic() + 60))

    async def ask() -> list[Any]:
        at_work = run()
        while queue.num_running == 0:
            await asyncio.sleep(0.001)
        together = [run(), run()]
        while queue.num_waiting < 2:
            await asyncio.sleep(0.001)
        servable.may_go_on.set()
        answers = await asyncio.gather(at_work, *together, return_exceptions=True)
        with pytest.raises(RuntimeError, match="broken"):
            await run()
        return answers

    first, *others = asyncio.run(ask())
    queue.stop()
    assert first == {}
    assert [str(error) for error in others] == ["broken", "broken"]
    assert servable.num_running == [1, 2, 1]
    assert queue.num_running == 0


def test_a_cancelled_call_holds_its_version_until_it_is_computed() -> None:
    servable = Broken()
    queue = servable.queue = WorkQueue(num_threads=1, max_waiting=9, max_batch=1)
    version = Version("m", 1, "")
    version.servable = servable  # type: ignore[assignment]

    async def ask() -> bool:
        calls = [
            asyncio.create_task(queue.run(version, a_signature(), {}, time.monotonic() + 60)) for _ in range(2)
        ]  # one at work, one that waits
        while not (queue.num_running and queue.num_waiting):
            await asyncio.sleep(0.001)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        drained = asyncio.create_task(version.drained())
        await asyncio.sleep(0)
        early = drained.done()
        servable.may_go_on.set()
        await drained
        return early

    assert asyncio.run(ask()) is False
    queue.stop()
    assert servable.num_running == [1]
