"""Tests of the work queue alone: what it counts, and how it handles unexpected errors."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine.models import Version
from serving.model_server.engine.signatures import Signature
from serving.model_server.engine.work_queue import Job, WorkQueue
from serving.model_server.errors import ServingError
from tests.serving.model_server.tiny_models import REGRESS


class Broken:
    """A model that computes its first request once it may, and fails for all others."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.num_running: list[int] = []
        self.queue: WorkQueue | None = None

    def run(self, *_: Any, deadline: float, is_large: bool) -> dict[str, Any]:
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
    return Signature("s", definition, ["x"], ["y"])


def test_an_error_that_nobody_foresaw_is_each_request_s_and_ends_no_thread() -> None:
    servable = Broken()
    queue = servable.queue = WorkQueue(num_threads=1, max_waiting=9, max_batch=8, max_waiting_elements=10_000)
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
    queue = servable.queue = WorkQueue(num_threads=1, max_waiting=9, max_batch=1, max_waiting_elements=10_000)
    version = Version("m", 1, "")
    version.servable = servable  # type: ignore[assignment]

    async def ask() -> bool:
        calls = [
            asyncio.create_task(queue.run(version, a_signature(), {}, time.monotonic() + 60)) for _ in range(2)
        ]  # one runs, and one waits
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


class Halves:
    """A model that halves its input, and records each run's rows; the first run waits for `may_go_on`.

    Attributes:
      may_go_on: Ends the first run.
      runs: The rows of each run.
      large_runs: The rows of those that give way to others.
    """

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.runs: list[int] = []
        self.large_runs: list[int] = []

    def run(self, _: Signature, inputs: Any, __: Any, *, deadline: float, is_large: bool) -> dict[str, Any]:
        x = tf.make_ndarray(inputs["x"])
        self.runs.append(len(x))
        if is_large:
            self.large_runs.append(len(x))
        if len(self.runs) == 1:
            assert self.may_go_on.wait(60)
        y = tf.make_tensor_proto(0.0).__class__(dtype=1, float_val=(x / 2).tolist())
        y.tensor_shape.dim.add(size=len(x))
        return {"y": y}


def run_beside(
    sent: list[tuple[str, int]],
    *,
    max_waiting: int = 99,
    max_waiting_elements: int = 100_000,
    method: str = REGRESS,
    servable: Halves | None = None,
) -> tuple[list[int], list[Any]]:
    """Sends (caller, rows) requests while the first is computed; returns the rows of each run, and the answers."""
    servable = servable or Halves()
    version = Version("m", 1, "")
    version.servable = servable  # type: ignore[assignment]
    signature = a_signature()
    signature.definition.method_name = method
    queue = WorkQueue(num_threads=1, max_waiting=max_waiting, max_batch=1, max_waiting_elements=max_waiting_elements)

    async def ask() -> list[Any]:
        calls = []
        for caller, rows in sent:
            inputs = {"x": tf.make_tensor_proto(np.arange(rows, dtype=np.float32))}
            call = queue.run(version, signature, inputs, time.monotonic() + 60, caller=caller)
            calls.append(asyncio.create_task(call))
            await asyncio.sleep(0)
            while not (queue.num_running or calls[0].done()):
                await asyncio.sleep(0.001)
        servable.may_go_on.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.wait_for(version.drained(), 60)
        return answers

    answers = asyncio.run(ask())
    queue.stop()
    assert (queue.num_running, queue.num_waiting, queue.num_waiting_elements) == (0, 0, 0)
    return servable.runs, answers


def test_a_large_request_is_cut_and_gives_way_after_each_part() -> None:
    """2,500 rows are computed as 1,024, 1,024 and 452; requests that arrive meanwhile come after the first part.

    Before the last part, 452 rows are left, which are not large any more.
    """
    servable = Halves()
    runs, answers = run_beside([("large", 2500), ("other", 10), ("large", 20)], servable=servable)
    assert runs == [1024, 10, 20, 1024, 452]
    assert servable.large_runs == [1024, 1024]
    for rows, answer in zip((2500, 10, 20), answers, strict=True):
        np.testing.assert_array_equal(list(answer["y"].float_val), np.arange(rows) / 2)
        assert [dim.size for dim in answer["y"].tensor_shape.dim] == [rows]


def test_what_may_depend_on_other_rows_is_not_cut() -> None:
    """A signature of that name and method is not known to compute its rows independently."""
    runs, answers = run_beside([("large", 2500), ("other", 10)], method="tensorflow/serving/predict")
    assert runs == [2500, 10]
    assert len(answers[0]["y"].float_val) == 2500


class Held:
    """A model that holds each request until `may_go_on`, and records the sizes of those that it has begun."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.sizes: list[int] = []

    def run(self, _: Signature, inputs: Any, __: Any, *, deadline: float, is_large: bool) -> dict[str, Any]:
        (text,) = inputs["x"].string_val
        self.sizes.append(len(text) if is_large else -len(text))
        assert len(text) < 1000 or self.may_go_on.wait(60)
        return {}


def test_long_lists_never_take_all_threads() -> None:
    """A string of 500 kB has a long list: one candidate, which cannot be cut, with the work of 1,250."""
    servable = Held()
    version = Version("m", 1, "")
    version.servable = servable  # type: ignore[assignment]
    queue = WorkQueue(num_threads=2, max_waiting=9, max_batch=1, max_waiting_elements=100_000)

    async def ask() -> None:
        def call(num_bytes: int) -> asyncio.Task[Any]:
            inputs = {"x": tf.make_tensor_proto([b"x" * num_bytes])}
            return asyncio.create_task(
                queue.run(version, a_signature(), inputs, time.monotonic() + 60, caller=num_bytes)
            )

        large = [call(500_000), call(500_001)]
        while not (queue.num_running and queue.num_waiting_elements):
            await asyncio.sleep(0.001)
        for _ in range(20):
            await call(5)
        assert queue.num_waiting_elements == 1250
        servable.may_go_on.set()
        await asyncio.gather(*large)

    asyncio.run(ask())
    queue.stop()
    assert servable.sizes == [500_000, *[-5] * 20, 500_001]


def test_who_fills_the_queue_is_refused_and_others_are_not() -> None:
    """The queue has two places: the third waiting request of `greedy` is refused at once, the second for `other`."""
    sent = [("greedy", 1), ("greedy", 2), ("greedy", 3), ("greedy", 4), ("other", 5)]
    runs, answers = run_beside(sent, max_waiting=2)
    assert runs == [1, 2, 5]
    refused = [str(answer) for answer in answers if isinstance(answer, ServingError)]
    assert refused == ["the queue is full: 2 requests wait already; try again later"] * 2
    assert [isinstance(answer, ServingError) for answer in answers] == [False, False, True, True, False]


def test_the_queue_is_bounded_by_work() -> None:
    runs, answers = run_beside([("a", 1), ("a", 600), ("a", 500), ("a", 400)], max_waiting_elements=1000)
    assert runs == [1, 600, 400]
    assert str(answers[2]) == (
        "the queue is full: work of at most 1000 candidates or rows may wait, in all requests; try again later"
    )


def test_nobody_is_refused_for_a_request_that_is_refused_itself() -> None:
    """At most 600 elements may wait, and 401 do: even without the 102 of `a`, the heaviest, 450 more have no room."""
    sent = [("first", 1), ("a", 100), ("a", 102), ("b", 199), ("c", 450)]
    runs, answers = run_beside(sent, max_waiting_elements=600)
    assert sorted(runs) == [1, 100, 102, 199]
    assert [isinstance(answer, ServingError) for answer in answers] == [False, False, False, False, True]


def test_as_many_are_refused_as_make_room() -> None:
    """400 elements need room: 99 and 101 of `a`, the heaviest caller, are refused."""
    sent = [("first", 1), ("a", 100), ("a", 101), ("a", 99), ("b", 100), ("c", 400)]
    runs, answers = run_beside(sent, max_waiting_elements=600)
    assert sorted(runs) == [1, 100, 100, 400]
    assert [isinstance(answer, ServingError) for answer in answers] == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("sizes", "part_rows", "parts_done", "elements", "turn"),
    [
        ([2, 5000], 1, 0, 10_000, 5000),  # a part has at least one row
        ([2, 5000], 1, 1, 5000, 5000),
        ([2500], 1024, 0, 2500, 1024),
        ([2500], 1024, 2, 452, 452),  # the last part has fewer rows
        ([3, 700], 1, 0, 2100, 700),  # two rows would be 1,400
        ([2, 5000], None, 0, 10_000, 10_000),  # all at once
    ],
)
def test_a_part_is_charged_by_what_is_computed(
    sizes: list[int], part_rows: int | None, parts_done: int, elements: int, turn: int
) -> None:
    proto = tensor_pb2.TensorProto()
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    loop = asyncio.new_event_loop()
    version, answer = Version("m", 1, ""), loop.create_future()
    job = Job(version, a_signature(), {"x": proto}, (), 0.0, answer, None, None, elements, part_rows, [{}] * parts_done)
    loop.close()
    assert job.turn == turn
