"""Beam's own runner over workers that are processes.

Beam's runner starts all of its external workers at one address, calls them to the name that this host gives itself,
listens on all addresses, and waits for a lost worker without end; its workers on this machine import everything anew
for each pipeline. Here the workers of a job are those of its places in turn; all call one port, which is open only on
the address by which the workers reach this host; and the first error of any worker ends the job. Beam has no public way
to this: what is overridden is private or undocumented, as of Beam 2.77.0.
"""

from __future__ import annotations

import contextlib
import functools
import time
import types
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, PortableOptions
from apache_beam.portability.api import endpoints_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, fn_runner, worker_handlers

from pipeline.beam_workers.dealing import Dealer
from pipeline.beam_workers.forked import ForkedPlace
from pipeline.beam_workers.pools import PoolPlace, own_host
from pipeline.beam_workers.services import AGAIN, Place, Services, Worker
from pipeline.errors import LostWorkerError

_ENVIRONMENT = "wide-deep-ranker:environment:workers:v1"

#: Time for a worker to import Beam (40 seconds on a machine with too much work) and to connect.
_CONNECT_SECONDS = 120

#: How often it is looked whether a worker that has not connected has ended.
_LOOK_SECONDS = 0.2


class _WorkersRunner(FnApiRunner):  # type: ignore[misc]
    """Beam's runner in this process, with workers of places.

    Raises:
      LostWorkerError: If a worker cannot be started, or does not connect, or ends before its work is done.
      WorkerError: If code that a worker runs raises an error.
    """

    def run_via_runner_api(self, pipeline_proto: Any, options: PipelineOptions) -> Any:
        self._host, self._places = self._find(options)
        self._num_workers = len(self._places)
        for environment in pipeline_proto.components.environments.values():
            environment.urn = _ENVIRONMENT
        return super().run_via_runner_api(pipeline_proto, options)

    def run_stages(self, stage_context: Any, stages: Any) -> Any:
        """Runs a job: Beam's own method, which takes another manager of workers by the name of Beam's."""
        manager = functools.partial(_Manager, self._host, self._places)
        names = {**vars(fn_runner), "WorkerHandlerManager": manager}
        return types.FunctionType(FnApiRunner.run_stages.__code__, names)(self, stage_context, stages)

    def _find(self, options: PipelineOptions) -> tuple[str, Sequence[Place]]:
        """Returns the address of this machine for the workers, and a place for each worker."""
        raise NotImplementedError

    def _get_bundle_manager(self, bundle_context_manager: Any) -> Any:
        """Returns what runs a stage; one with state, whose elements of a key belong to one worker, is Beam's."""
        if len(self._places) == 1 or bundle_context_manager.stage.is_stateful():
            return super()._get_bundle_manager(bundle_context_manager)
        tokens = self.get_cache_token_generator(static=False)
        return Dealer(bundle_context_manager, self._progress_frequency, cache_token_generator=tokens)

    def _execute_bundle(self, runner_execution_context: Any, bundle_context_manager: Any, bundle_input: Any) -> Any:
        execute = functools.partial(
            super()._execute_bundle, runner_execution_context, bundle_context_manager, bundle_input
        )
        return runner_execution_context.worker_handler_manager.services.run(execute)


class PoolsRunner(_WorkersRunner):
    """With a worker of each pool in `--environment_config=HOST:PORT,HOST:PORT`: the config's `beam.workers`."""

    def _find(self, options: PipelineOptions) -> tuple[str, Sequence[Place]]:
        addresses = options.view_as(PortableOptions).environment_config.split(",")
        return own_host(addresses), [PoolPlace(address) for address in addresses]


class ForkedRunner(_WorkersRunner):
    """With `--direct_num_workers` workers, which are forked: the config's `beam.num_workers`."""

    def _find(self, options: PipelineOptions) -> tuple[str, Sequence[Place]]:
        return "127.0.0.1", [ForkedPlace()] * options.view_as(DirectOptions).direct_num_workers


class _Manager(worker_handlers.WorkerHandlerManager):  # type: ignore[misc]
    """The workers of a job.

    Attributes:
      services: What they call.
    """

    def __init__(self, host: str, places: Sequence[Place], environments: Any, provision_info: Any) -> None:
        super().__init__(environments, provision_info)
        self.services = self._grpc_server = Services(self, host, places)

    def get_worker_handlers(self, environment_id: str | None, num_workers: int) -> list[_WorkerHandler]:
        workers: list[_WorkerHandler] = super().get_worker_handlers(environment_id, num_workers)
        for worker in workers:
            worker.wait_until_connected()
        return workers


@worker_handlers.WorkerHandler.register_environment(_ENVIRONMENT, None)
class _WorkerHandler(worker_handlers.WorkerHandler):  # type: ignore[misc]
    """The worker of one place. Its id is unique: jobs of several processes may share a pool."""

    def __init__(self, payload: object, state: Any, provision_info: Any, services: Services) -> None:
        super().__init__(services.control, services.data, state, provision_info)
        self.worker_id = uuid.uuid4().hex
        self._url = services.url
        self._place, self.control_conn = services.connection(self.worker_id)
        self.data_conn = services.data.get_conn_by_worker_id(self.worker_id)
        self._worker: Worker | None = None
        self._started = 0.0

    def start_worker(self) -> None:
        self._worker = self._place.start(self.worker_id, self._url)
        self._started = time.monotonic()

    def wait_until_connected(self) -> None:
        """Waits for the worker's call; raises `LostWorkerError` if it does not come in time, or no longer can."""
        assert self._worker is not None
        end = self._started + _CONNECT_SECONDS
        while not self.control_conn.connected.wait(_LOOK_SECONDS):
            if self._worker.has_ended():
                raise LostWorkerError(
                    f"{self._place.description} ended before it connected to {self._url}, as its log says; {AGAIN}"
                )
            if time.monotonic() >= end:
                raise LostWorkerError(
                    f"{self._place.description} did not connect to {self._url} within {_CONNECT_SECONDS} seconds: it "
                    f"ended, as its log then says, or cannot reach this host; once it can, {AGAIN}"
                )

    def close(self) -> None:
        self.control_conn.close()
        with contextlib.suppress(grpc.RpcError):  # a lost worker's stream has ended with an error
            self.data_conn.close()
        super().close()

    def stop_worker(self) -> None:
        if self._worker is not None:
            self._worker.stop()

    def control_api_service_descriptor(self) -> Any:
        return endpoints_pb2.ApiServiceDescriptor(url=self._url)

    data_api_service_descriptor = state_api_service_descriptor = control_api_service_descriptor
