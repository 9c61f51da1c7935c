"""Checks of what `beam.workers` relies on in Beam's own runner; each raises an error if it is gone."""

from __future__ import annotations

import inspect
import queue
import subprocess
import types

import apache_beam as beam
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability import fn_api_runner
from apache_beam.runners.portability.fn_api_runner import execution, fn_runner, worker_handlers
from apache_beam.runners.worker import worker_pool_main
from apache_beam.runners.worker.data_plane import BeamFnDataServicer
from apache_beam.utils.sentinel import Sentinel


class _Manager(worker_handlers.WorkerHandlerManager):  # type: ignore[misc]
    """Has no services before its first worker; notes that it ends."""

    events: list[str] = []

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        assert self._grpc_server is None
        self.events.append("made")

    def close_all(self) -> None:
        self.events.append("closed")
        super().close_all()


class _Runner(fn_api_runner.FnApiRunner):  # type: ignore[misc]
    """Runs bundles on embedded workers, as many as it sets, of its own manager."""

    workers: list[int] = []

    def run_via_runner_api(self, pipeline_proto: object, options: object) -> object:
        self._num_workers = 2
        return super().run_via_runner_api(pipeline_proto, options)

    def run_stages(self, stage_context: object, stages: object) -> object:
        names = {**vars(fn_runner), "WorkerHandlerManager": _Manager}
        return types.FunctionType(fn_api_runner.FnApiRunner.run_stages.__code__, names)(self, stage_context, stages)

    def _execute_bundle(self, context: object, bundle_context: object, bundle_input: object) -> object:
        assert isinstance(context.worker_handler_manager, _Manager)  # type: ignore[attr-defined]
        self.workers.append(len(bundle_context.worker_handlers))  # type: ignore[attr-defined]
        return super()._execute_bundle(context, bundle_context, bundle_input)


def check_runner() -> None:
    """A job takes a manager of workers by its name, and closes it; each bundle passes `_execute_bundle`."""
    _Runner.workers, _Manager.events = [], []
    with beam.Pipeline(runner=_Runner()) as pipeline:
        _ = pipeline | beam.Create([1]) | beam.Reshuffle()
    assert _Manager.events == ["made", "closed"]
    assert set(_Runner.workers) == {2}
    create = inspect.getsource(worker_handlers.WorkerHandlerManager.get_worker_handlers)
    assert "elif self._grpc_server is None:" in create
    assert "worker_handler.start_worker()" in create
    close = inspect.getsource(worker_handlers.WorkerHandlerManager.close_all)
    assert "worker_handler.close()" in close
    assert "self._grpc_server.close()" in close


def check_bundle_manager() -> None:
    """A stage is run by what `_get_bundle_manager` returns; a bundle's worker is one of its context's."""
    execute = inspect.getsource(fn_api_runner.FnApiRunner._execute_bundle)
    assert "self._get_bundle_manager(bundle_context_manager)" in execute
    inspect.signature(fn_runner.BundleManager.process_bundle).bind(0, {}, {}, {}, {}, False)
    manager = fn_runner.BundleManager(None, 0.5, cache_token_generator=None)
    assert (manager._progress_frequency, manager._cache_token_generator) == (0.5, None)
    assert "self.bundle_context_manager.worker_handlers[" in inspect.getsource(fn_runner.BundleManager.process_bundle)
    handlers = execution.BundleContextManager.worker_handlers.fget
    assert "return self._worker_handlers" in inspect.getsource(handlers)


def check_worker_handlers() -> None:
    """A handler's parts, and a stream of instructions that ends at the sentinel and answers by what is read."""
    inspect.signature(worker_handlers.WorkerHandler.__init__).bind(0, 0, 0, 0, 0)
    inspect.signature(worker_handlers.WorkerHandler.register_environment).bind("urn", None)
    assert "self.stop_worker()" in inspect.getsource(worker_handlers.WorkerHandler.close)
    assert "self.get_conn_by_worker_id(worker_id)" in inspect.getsource(worker_handlers.BeamFnControlServicer.Control)
    assert callable(worker_handlers.BeamFnControlServicer.done)
    assert callable(worker_handlers.GrpcStateServicer(worker_handlers.StateServicer()).State)
    assert callable(BeamFnDataServicer().get_conn_by_worker_id("a").close)
    assert worker_handlers.BeamFnControlServicer._DONE_MARKER is Sentinel.sentinel
    connection = worker_handlers.ControlConnection()
    answer = connection.push(beam_fn_api_pb2.InstructionRequest(instruction_id="1"))
    assert connection.push(Sentinel.sentinel) is None
    assert connection.get_req().instruction_id == "1"
    assert connection.get_req() is Sentinel.sentinel
    responses: queue.SimpleQueue[beam_fn_api_pb2.InstructionResponse | None] = queue.SimpleQueue()
    responses.put(beam_fn_api_pb2.InstructionResponse(instruction_id="1", error="spam"))
    responses.put(None)
    connection.set_input(iter(responses.get, None))
    assert answer.get(timeout=10).error == "spam"


def check_worker_pool() -> None:
    """A pool ends a worker of its table as it ends a process: `terminate`, `wait`, then `kill`."""
    calls = []

    class Worker:
        def terminate(self) -> None:
            calls.append("terminate")

        def wait(self, timeout: float | None = None) -> None:
            calls.append("wait")
            if len(calls) == 2:
                raise subprocess.TimeoutExpired("a worker", timeout or 0)

        def kill(self) -> None:
            calls.append("kill")

    pool = worker_pool_main.BeamFnExternalWorkerPoolServicer(use_process=True)
    pool._worker_processes["1"] = Worker()
    pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1"), None)
    assert calls == ["terminate", "wait", "kill", "wait"]
    assert not pool._worker_processes
