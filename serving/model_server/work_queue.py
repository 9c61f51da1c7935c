"""The queue in front of the threads that compute: bounded, fair, and what waits in it too long is not computed.

Requests that wait may be computed as one, if they are of the same shape. No request waits for another one, so it costs
nothing where there is no queue; with eight clients that never pause, it answered 293 requests of 200 candidates a
second instead of 248.

A large request whose rows do not depend on each other is computed in parts, and gives way to others after each. One
that cannot be cut, such as one list of candidates to rank, takes as long as it takes; where there are several threads,
one of them computes no large requests.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Hashable, Mapping, Sequence

import grpc
from tensorflow.core.framework import tensor_pb2

from serving.model_server import batching
from serving.model_server.errors import ServingError
from serving.model_server.fair_queue import LARGE_ELEMENTS, FairQueue
from serving.model_server.servable import Signature, Tensors
from serving.model_server.version import Version


@dataclasses.dataclass(eq=False)
class Job:
    """A run of a signature. It holds its version until it is settled, whether or not its client still waits.

    Attributes:
      version: The version that computes.
      signature: Of it.
      inputs: Held against the signature.
      wanted: The outputs to give; none for all.
      deadline: On `time.monotonic`'s clock, when nobody waits any more.
      answer: The outputs, or the error, once there.
      mates: What jobs that can be computed as one have in common; none if this one is to be alone.
      caller: The connection that it came by.
      elements: How many candidates or rows are still to be computed.
      part_rows: How many rows are computed at a time; none for all at once.
      parts: The outputs of the rows that are computed, where they are computed in parts.
      is_large: Whether it, or what was left of it, was large when a thread took it last.
    """

    version: Version
    signature: Signature
    inputs: Mapping[str, tensor_pb2.TensorProto]
    wanted: Sequence[str]
    deadline: float
    answer: asyncio.Future[Tensors]
    batch_key: Hashable
    caller: Hashable = None
    elements: int = 1
    part_rows: int | None = None
    parts: list[Tensors] = dataclasses.field(default_factory=list)
    is_large: bool = False

    @property
    def turn(self) -> int:
        """How many of its elements are computed next: a part is at least a row, however many elements that has."""
        if self.part_rows is None:
            return self.elements
        rows_left = batching.num_rows(self.inputs) - len(self.parts) * self.part_rows
        return min(self.elements, self.elements * self.part_rows // rows_left)

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self.deadline

    def run(self) -> Tensors | None:
        """Computes the outputs, or a part of them, until the deadline.

        Returns:
          The outputs; none if that was a part and there are more.

        Raises:
          ServingError: If the model refuses the inputs, or the deadline passes.
        """
        if self.part_rows is None:
            return self.compute(self.inputs)
        rows = batching.num_rows(self.inputs)
        start = len(self.parts) * self.part_rows
        end = min(start + self.part_rows, rows)
        part = self.compute(batching.rows_of(self.inputs, start, end))
        if not batching.have_rows(part, end - start):  # what is no row's is no part's
            self.part_rows = None
            return self.compute(self.inputs)
        self.parts.append(part)
        self.elements -= self.elements * (end - start) // (rows - start)
        return None if end < rows else batching.merge(self.parts)

    def compute(self, inputs: Mapping[str, tensor_pb2.TensorProto]) -> Tensors:
        """Computes the outputs of these inputs; raises as `run` does."""
        assert self.version.servable is not None  # held by this job
        return self.version.servable.run(self.signature, inputs, self.wanted, deadline=self.deadline)


class WorkQueue:
    """Threads that compute, and what waits for them."""

    def __init__(self, num_threads: int, max_waiting: int, max_batch: int, max_waiting_elements: int) -> None:
        """Starts the threads.

        Args:
          num_threads: How many requests are computed at once.
          max_waiting: How many may wait beside them.
          max_batch: How many of those that wait are computed as one, if they can be; 1 for each alone.
          max_waiting_elements: How many candidates or rows may wait, in all requests.
        """
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._max_waiting_elements = max_waiting_elements
        self._waiting: FairQueue[Job] = FairQueue(max_waiting, max_waiting_elements)
        self._num_running = 0
        self._num_large = 0
        self._max_large = max(1, num_threads - 1)
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(num_threads)]
        for thread in self._threads:
            thread.start()

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_waiting_elements(self) -> int:
        return self._waiting.num_elements

    @property
    def num_running(self) -> int:
        return self._num_running

    async def run(
        self,
        version: Version,
        signature: Signature,
        inputs: Mapping[str, tensor_pb2.TensorProto],
        deadline: float,
        wanted: Sequence[str] = (),
        caller: Hashable = None,
    ) -> Tensors:
        """Computes a signature's outputs once it is their turn.

        Called on the event loop. The job holds the version until a thread has computed or dropped it; that the caller
        is cancelled meanwhile changes nothing.

        Args:
          version: Whose signature it is.
          signature: The signature.
          inputs: Held against it.
          deadline: On `time.monotonic`'s clock, when nobody waits any more.
          wanted: The outputs to give; none for all.
          caller: Who shares the threads fairly with others: a connection.

        Raises:
          ServingError: If the queue is full, the deadline passes, or the model refuses.
        """
        answer: asyncio.Future[Tensors] = asyncio.get_running_loop().create_future()
        job = Job(version, signature, inputs, wanted, deadline, answer, None, caller, batching.num_elements(inputs))
        self._plan(job)
        if job.expired:
            raise _deadline_exceeded()
        with self._changed:
            self._make_room(job)
            version.hold()
            self._waiting.push(caller, job.elements, job.turn, job)
            self._changed.notify()
        return await answer

    def _plan(self, job: Job) -> None:
        """Says whether a job is computed in parts, or can be computed with others."""
        is_large = job.elements > LARGE_ELEMENTS
        if not is_large and self._max_batch == 1:
            return
        if is_large and self._max_batch == 1 and not batching.is_by_row(job.signature):
            return
        shared = batching.key(job.signature, job.inputs)
        if shared and is_large:
            rows = batching.num_rows(job.inputs)
            size = max(1, rows * LARGE_ELEMENTS // job.elements)
            job.part_rows = size if size < rows else None
        elif shared:
            job.batch_key = (id(job.version), job.signature.name, shared)

    def _make_room(self, job: Job) -> None:
        """Drops from a full queue what nobody waits for any more, then what others than the job's caller have most of.

        Raises:
          ServingError: If the job's caller has most of it, or would before there is room; nothing is dropped then.
        """
        if self._waiting.is_full_for(job.elements):
            self._waiting.take(_is_late)
        if self._waiting.is_full_for(job.elements):
            error = self._full()
            dropped = self._waiting.drop_for(job.caller, job.elements)
            if dropped is None:
                raise error
            for other in dropped:
                _settle(other, error)

    def _full(self) -> ServingError:
        if len(self._waiting) >= self._max_waiting:
            what = f"{self._max_waiting} requests wait already"
        else:
            what = f"at most {self._max_waiting_elements} candidates or rows may wait, in all requests"
        return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the queue is full: {what}; try again later")

    def _work(self) -> None:
        while jobs := self._next():
            unfinished = self._answer(jobs)
            with self._changed:
                self._num_running -= len(jobs)
                self._num_large -= jobs[0].is_large
                if unfinished:
                    self._waiting.push(unfinished.caller, unfinished.elements, unfinished.turn, unfinished, first=True)
                if jobs[0].is_large:  # a thread may have waited for it
                    self._changed.notify_all()

    def _next(self) -> list[Job]:
        """What is computed next, once there is something; nothing at the end."""
        with self._changed:
            while True:
                job = self._waiting.pop(large=self._num_large < self._max_large)
                if job is None:
                    if self._stopped and not self._waiting:
                        return []
                    self._changed.wait()
                elif not _is_late(job):
                    break
            jobs = [job]
            if job.batch_key is not None:
                found = self._waiting.take(lambda other: other.batch_key == job.batch_key, self._max_batch - 1)
                jobs += [other for other in found if not _is_late(other)]
            job.is_large = job.elements > LARGE_ELEMENTS
            self._num_large += job.is_large
            self._num_running += len(jobs)
            return jobs

    def _answer(self, jobs: list[Job]) -> Job | None:
        """Computes jobs together, or one alone; returns that one if that was a part of it."""
        answers: Sequence[Tensors | Exception] | None = None
        if len(jobs) > 1:
            try:
                answers = _run_together(jobs)
            except Exception as error:  # raised again where the requests are waited for
                answers = [error] * len(jobs)
        if answers:
            for job, answer in zip(jobs, answers, strict=True):
                _settle(job, answer)
            return None
        for job in jobs:
            try:
                outputs = job.run()
            except Exception as error:  # raised again where the request is waited for
                _settle(job, error)
            else:
                if outputs is None:
                    return job  # which is alone
                _settle(job, outputs)
        return None

    def stop(self) -> None:
        """Ends the threads once what waits is done."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


def _run_together(jobs: list[Job]) -> list[Tensors] | None:
    """The jobs' answers, computed as one; none if they must be computed one by one after all."""
    together = dataclasses.replace(jobs[0], wanted=(), deadline=max(job.deadline for job in jobs))
    try:
        outputs = together.compute(batching.merge([job.inputs for job in jobs]))
    except ServingError:  # of one of them
        return None
    parts = batching.split(outputs, [batching.num_rows(job.inputs) for job in jobs])
    return parts and [{name: part[name] for name in job.wanted or part} for job, part in zip(jobs, parts, strict=True)]


def _is_late(job: Job) -> bool:
    """Whether nobody waits for a job any more; such a job is settled without being computed."""
    if not (job.expired or job.answer.cancelled()):
        return False
    _settle(job, _deadline_exceeded())
    return True


def _settle(job: Job, result: Tensors | Exception) -> None:
    """Ends a job, once; from any thread."""
    job.answer.get_loop().call_soon_threadsafe(_end, job, result)


def _end(job: Job, result: Tensors | Exception) -> None:
    job.version.release()
    if job.answer.cancelled():  # the client has gone
        return
    if isinstance(result, Exception):
        job.answer.set_exception(result)
    else:
        job.answer.set_result(result)


def _deadline_exceeded() -> ServingError:
    return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded: time was up before the request's turn")
