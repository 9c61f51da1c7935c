"""The queue of requests in front of the computing threads: bounded, fair, and without computing expired requests.

Waiting requests of the same shape may be merged into one computation. No request waits for another to be merged with,
so this costs nothing while the queue is empty. With eight clients that never pause, the server answered 293 instead of
248 requests of 200 candidates per second.

A request is large by its work: its candidates or rows, and the values of its lists. One whose rows are independent is
computed in parts, and lets other requests run after each part. One that cannot be split, such as one list of candidates
to rank, or one candidate with a long list, runs to its end; if there are several threads, one of them computes no large
requests. Within TensorFlow, the operations of a large request give way to those of others.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Hashable, Sequence

import grpc

from serving.model_server.engine import batching
from serving.model_server.engine.models import Version
from serving.model_server.engine.signatures import Inputs, Signature, Tensors
from serving.model_server.errors import ServingError
from serving.model_server.guard.fair_queue import LARGE_ELEMENTS, FairQueue


@dataclasses.dataclass(eq=False)
class Job:
    """A run of a signature. It holds its version until it is settled, whether or not its client still waits.

    Attributes:
      version: The version that computes it.
      signature: The signature of that version.
      inputs: The inputs, checked against the signature.
      requested: The outputs to return; empty for all.
      deadline: When the client stops waiting, on `time.monotonic`'s clock.
      answer: The future of the outputs or the error.
      batch_key: Jobs with equal keys can be computed as one; None if this one must run alone.
      caller: The connection that sent it.
      elements: The work that is still to be computed, as `batching.num_elements` counts it.
      part_rows: The rows that are computed at a time; None for all at once.
      parts: The outputs of the parts that are computed so far.
      is_large: Whether it, or the rest of it, was large when a thread last took it.
    """

    version: Version
    signature: Signature
    inputs: Inputs
    requested: Sequence[str]
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
        """How many of its elements are computed next. A part has at least one row, however many elements that has."""
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
          The outputs; None if this was a part and more are left.

        Raises:
          ServingError: If the model refuses the inputs, or the deadline passes.
        """
        if self.part_rows is None:
            return self.compute(self.inputs)
        rows = batching.num_rows(self.inputs)
        start = len(self.parts) * self.part_rows
        end = min(start + self.part_rows, rows)
        part = self.compute(batching.rows_of(self.inputs, start, end))
        if not batching.have_rows(part, end - start):  # outputs that are not by row cannot be merged from parts
            self.part_rows = None
            return self.compute(self.inputs)
        self.parts.append(part)
        self.elements -= self.elements * (end - start) // (rows - start)
        return None if end < rows else batching.merge(self.parts)

    def compute(self, inputs: Inputs) -> Tensors:
        """Computes the outputs of these inputs; raises the errors that `run` raises."""
        assert self.version.servable is not None  # held by this job
        servable, large = self.version.servable, self.is_large
        return servable.run(self.signature, inputs, self.requested, deadline=self.deadline, is_large=large)


class WorkQueue:
    """The computing threads and the queue in front of them."""

    def __init__(self, num_threads: int, max_waiting: int, max_batch: int, max_waiting_elements: int) -> None:
        """Starts the threads.

        Args:
          num_threads: The number of requests that are computed at once.
          max_waiting: The most waiting requests.
          max_batch: The most waiting requests that are computed as one; 1 computes each alone.
          max_waiting_elements: The most elements of all waiting requests, as `batching.num_elements` counts them.
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
        inputs: Inputs,
        deadline: float,
        requested: Sequence[str] = (),
        caller: Hashable = None,
    ) -> Tensors:
        """Computes a signature's outputs, once it is the request's turn.

        Call it on the event loop. The job holds the version until a thread has computed or dropped it, even if the
        caller is cancelled meanwhile.

        Args:
          version: The version that computes.
          signature: One of its signatures.
          inputs: The inputs, checked against the signature.
          deadline: When the client stops waiting, on `time.monotonic`'s clock.
          requested: The outputs to return; empty for all.
          caller: The connection; the threads are shared fairly between connections.

        Raises:
          ServingError: If the queue is full, the deadline passes, or the model refuses the inputs.
        """
        answer: asyncio.Future[Tensors] = asyncio.get_running_loop().create_future()
        elements = batching.num_elements(signature, inputs)
        job = Job(version, signature, inputs, requested, deadline, answer, None, caller, elements)
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
        """Sets whether a job is computed in parts, or can be computed together with others."""
        is_large = job.elements > LARGE_ELEMENTS
        if self._max_batch == 1 and not (is_large and batching.is_by_row(job.signature)):
            return
        shared = batching.key(job.signature, job.inputs)
        if shared and is_large:
            rows = batching.num_rows(job.inputs)
            size = max(1, rows * LARGE_ELEMENTS // job.elements)
            job.part_rows = size if size < rows else None
        elif shared:
            job.batch_key = (id(job.version), job.signature.name, shared)

    def _make_room(self, job: Job) -> None:
        """Makes room in a full queue: drops expired and cancelled jobs, then the newest ones of the heaviest callers.

        Raises:
          ServingError: If the job's own caller is the heaviest, or would be before there is room. Only expired and
            cancelled jobs are dropped then.
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
            what = f"work of at most {self._max_waiting_elements} candidates or rows may wait, in all requests"
        return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the queue is full: {what}; try again later")

    def _work(self) -> None:
        while jobs := self._next():
            unfinished = self._answer(jobs)
            with self._changed:
                self._num_running -= len(jobs)
                self._num_large -= jobs[0].is_large
                if unfinished:
                    self._waiting.push(unfinished.caller, unfinished.elements, unfinished.turn, unfinished, first=True)
                if jobs[0].is_large:  # threads may be waiting until they can take a large one
                    self._changed.notify_all()

    def _next(self) -> list[Job]:
        """Waits for the next jobs to compute, and takes them; returns none once the queue is stopped and empty."""
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
        """Computes jobs together, or a single one; returns that one if more of it is left."""
        answers: Sequence[Tensors | Exception] | None = None
        if len(jobs) > 1:
            try:
                answers = _run_together(jobs)
            except Exception as error:  # raised where the requests are awaited
                answers = [error] * len(jobs)
        if answers:
            for job, answer in zip(jobs, answers, strict=True):
                _settle(job, answer)
            return None
        for job in jobs:
            try:
                outputs = job.run()
            except Exception as error:  # raised where the request is awaited
                _settle(job, error)
            else:
                if outputs is None:
                    return job  # a job in parts is always alone
                _settle(job, outputs)
        return None

    def stop(self) -> None:
        """Ends the threads, once all waiting jobs are done."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


def _run_together(jobs: list[Job]) -> list[Tensors] | None:
    """Computes jobs as one and returns their answers; None if they must be computed one by one after all."""
    together = dataclasses.replace(jobs[0], requested=(), deadline=max(job.deadline for job in jobs))
    try:
        outputs = together.compute(batching.merge([job.inputs for job in jobs]))
    except ServingError:  # one of the jobs may have caused it
        return None
    parts = batching.split(outputs, [batching.num_rows(job.inputs) for job in jobs])
    return parts and [
        {name: part[name] for name in job.requested or part} for job, part in zip(jobs, parts, strict=True)
    ]


def _is_late(job: Job) -> bool:
    """Whether no one waits for a job any more; such a job is settled without being computed."""
    if not (job.expired or job.answer.cancelled()):
        return False
    _settle(job, _deadline_exceeded())
    return True


def _settle(job: Job, result: Tensors | Exception) -> None:
    """Settles a job, once; may be called from any thread."""
    job.answer.get_loop().call_soon_threadsafe(_end, job, result)


def _end(job: Job, result: Tensors | Exception) -> None:
    job.version.release()
    if job.answer.cancelled():  # the client is gone
        return
    if isinstance(result, Exception):
        job.answer.set_exception(result)
    else:
        job.answer.set_result(result)


def _deadline_exceeded() -> ServingError:
    return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded: time was up before the request's turn")
