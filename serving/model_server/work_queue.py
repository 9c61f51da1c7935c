"""The queue in front of the threads that compute: bounded, and what waits in it too long is not computed."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence

import grpc
from tensorflow.core.framework import tensor_pb2

from serving.model_server.errors import ServingError
from serving.model_server.servable import Servable, Signature, Tensors


@dataclasses.dataclass(eq=False)
class Job:
    """A run of a signature that somebody waits for.

    Attributes:
      servable: The model.
      signature: Of it.
      inputs: Held against the signature.
      wanted: The outputs to give; none for all.
      deadline: On `time.monotonic`'s clock, when nobody waits any more.
      answer: The outputs, or the error, once there.
    """

    servable: Servable
    signature: Signature
    inputs: Mapping[str, tensor_pb2.TensorProto]
    wanted: Sequence[str]
    deadline: float
    answer: asyncio.Future[Tensors]

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self.deadline


class WorkQueue:
    """Threads that compute, and what waits for them."""

    def __init__(self, num_threads: int, max_waiting: int) -> None:
        """Starts the threads.

        Args:
          num_threads: How many requests are computed at once.
          max_waiting: How many may wait beside them.
        """
        self._max_waiting = max_waiting
        self._waiting: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}") for n in range(num_threads)]
        for thread in self._threads:
            thread.start()

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    async def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Mapping[str, tensor_pb2.TensorProto],
        deadline: float,
        wanted: Sequence[str] = (),
    ) -> Tensors:
        """Computes a signature's outputs once it is their turn.

        Raises:
          ServingError: If the queue is full, the deadline passes before the turn comes, or the model refuses.
        """
        job = Job(servable, signature, inputs, wanted, deadline, asyncio.get_running_loop().create_future())
        if job.expired:
            raise _deadline_exceeded()
        with self._changed:
            if len(self._waiting) >= self._max_waiting:
                raise ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"the queue is full: {self._max_waiting} requests wait already; try again later",
                )
            self._waiting.append(job)
            self._changed.notify()
        return await job.answer

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if not self._waiting:
                    return
                job = self._waiting.popleft()
            self._answer(job)

    def _answer(self, job: Job) -> None:
        if job.answer.cancelled():  # the client has gone
            return
        result: Tensors | Exception
        try:
            if job.expired:
                raise _deadline_exceeded()
            result = job.servable.run(job.signature, job.inputs, job.wanted)
        except Exception as error:  # raised again where the request is waited for
            result = error
        job.answer.get_loop().call_soon_threadsafe(_settle, job.answer, result)

    def stop(self) -> None:
        """Ends the threads once what waits is done."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


def _settle(answer: asyncio.Future[Tensors], result: Tensors | Exception) -> None:
    if answer.cancelled():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _deadline_exceeded() -> ServingError:
    return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded: time was up before the request's turn")
