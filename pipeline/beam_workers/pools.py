"""Workers of pools on named hosts, one of each pool."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2

from components.fingerprint import fingerprint_of_all_code
from pipeline.beam_workers.services import AGAIN
from pipeline.errors import LostWorkerError, first_line

#: The parameter of a call that has the fingerprint of the node's code; the pool's code must be the same.
CODE = "code"

#: Time for a pool to answer a call, and to end its worker, which it kills after 10 seconds.
_CALL_SECONDS, _STOP_SECONDS = 10, 15


class PoolPlace:
    """A pool of workers (`pipeline.beam_workers.pool`, or Beam's own); a `pipeline.beam_workers.services.Place`.

    Args:
      address: The pool's address, `HOST:PORT`.
    """

    fix_first = "once the pool runs, "

    def __init__(self, address: str) -> None:
        self.named_in_errors = address
        self.description = f"the worker of the pool at {address} (`beam.workers`)"

    def start(self, worker_id: str, url: str) -> _PoolWorker:
        """Has the pool start a worker."""
        worker = _PoolWorker(self.named_in_errors, worker_id)
        worker.start(url)
        return worker


class _PoolWorker:
    def __init__(self, address: str, worker_id: str) -> None:
        self._address, self._id = address, worker_id
        self._channel = grpc.insecure_channel(address)
        self._pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(self._channel)

    def start(self, url: str) -> None:
        services = endpoints_pb2.ApiServiceDescriptor(url=url)
        request = beam_fn_api_pb2.StartWorkerRequest(
            worker_id=self._id,
            control_endpoint=services,
            logging_endpoint=services,
            params={CODE: fingerprint_of_all_code()},
        )
        try:
            response = self._pool.StartWorker(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            self._channel.close()
            raise _no_pool(self._address, error) from error
        if response.error:
            self._channel.close()
            reason = response.error.strip().splitlines()[-1]
            raise LostWorkerError(
                f"the pool of workers at {self._address} (`beam.workers`) could not start a worker; once it can, "
                f"{AGAIN} ({reason})"
            )

    def has_ended(self) -> bool:
        """Returns False: a pool does not say."""
        return False

    def stop(self) -> None:
        """Ends the worker's process, which the pool would keep in its table; one that no longer works is killed."""
        request = beam_fn_api_pb2.StopWorkerRequest(worker_id=self._id)
        with contextlib.suppress(grpc.RpcError):
            self._pool.StopWorker(request, timeout=_STOP_SECONDS)
        self._channel.close()


def own_host(addresses: Sequence[str]) -> str:
    """Returns this host's address, as in a URL, on the way to pools: to the first that is not on loopback, if any is.

    Raises:
      LostWorkerError: If a pool's host has no address, or there is no way to it.
    """
    found = [_towards(address) for address in addresses]
    own = next((each for each in found if not each.is_loopback), found[0])
    return f"[{own}]" if own.version == 6 else str(own)


def _towards(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Returns this host's address on the way to a pool. Nothing is sent: a UDP socket's connection is its route."""
    host, _, port = address.rpartition(":")
    reason: OSError | None = None
    try:
        targets = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError as error:
        raise _no_pool(address, error) from error
    for family, kind, _, _, target in targets:
        with socket.socket(family, kind) as probe:
            try:
                probe.connect(target)
                return ipaddress.ip_address(probe.getsockname()[0])
            except OSError as error:
                reason = error
    assert reason is not None
    raise _no_pool(address, reason) from reason


def _no_pool(address: str, error: Exception) -> LostWorkerError:
    return LostWorkerError(
        f"the pool of workers at {address} (`beam.workers`) cannot be reached; once it runs, {AGAIN} "
        f"({first_line(error)})"
    )
