"""A hostile client of a model server, in a process of its own.

It sends, one after the other without a pause: the requests of `tests/serving/model_server/hostile_requests.py`, which
are for a small model; a few oversized or broken requests for the model that other clients rank with; and those of
`hostile_connections.py`, each over a connection of its own. Meanwhile it holds idle connections, and some connections
that send a request's head one byte at a time.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import json
import multiprocessing
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.model_server import MODEL

NUM_IDLE = 500
NUM_SLOW = 20
#: Pause between two bytes of a slow connection; much shorter than any server's timeout.
_SLOW_SECONDS = 0.2

#: The small model's name in the hostile requests.
_SMALL_MODEL = "half_plus_three"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"

#: Number of candidates, or of values in a list, of an oversized request.
_MANY = 100_000

#: Numbers of values in a list that are answered: for 200 candidates, and in the largest message.
_LONG = 20_000
_LONGEST = 450_000

#: Candidates of the largest request that is answered; number of such requests sent at once; connections they share.
_MOST = 10_000
_NUM_AT_ONCE = 150
_NUM_CHANNELS = 3

#: Sends a request once and returns the code of the response.
Kind = Callable[[], str]


@dataclasses.dataclass
class Attack:
    """What an attack sent.

    Attributes:
      answers: The number of responses by kind and code.
      seconds: The time from its first request to its last response.
    """

    answers: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Target:
    """A server to attack.

    Attributes:
      grpc_port: Its gRPC port.
      rest_port: Its REST port.
      version: The version that it serves as `MODEL`.
    """

    grpc_port: int
    rest_port: int
    version: Path


def push_small_model(models: Path) -> None:
    """Adds the small model of the hostile requests to a folder of models; a subprocess builds it with TensorFlow."""
    folder = models / _SMALL_MODEL / "1"
    folder.parent.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "tests.serving.model_server.tiny_models", str(folder)], check=True)


class Attacker:
    """The attacking process. It waits for an order, so that measurements exclude its start."""

    def __init__(self, target: Target) -> None:
        """Starts the process.

        Args:
          target: The server to attack.
        """
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(theirs, target), daemon=True)
        self._process.start()
        #: The names of all kinds.
        self.kinds: list[str] = self._orders.recv()

    @contextlib.contextmanager
    def attacking(self, kinds: Sequence[str] | None = None) -> Iterator[Attack]:
        """Attacks while the context is open; an attack with the kinds of an earlier one goes on where that one ended.

        Args:
          kinds: The kinds to send, without holding connections; None for all kinds, with held connections.

        Yields:
          What was sent; filled when the context ends.

        Raises:
          RuntimeError: If not all connections could be held, or a request could not be sent.
        """
        attack = Attack()
        self._orders.send((tuple(kinds or self.kinds), kinds is None))
        try:
            yield attack
        finally:
            self._orders.send(None)
            sent, error = self._orders.recv()
        if error:
            raise RuntimeError(f"the attack must last until it is ended. Received: {error}")
        attack.answers, attack.seconds = sent.answers, sent.seconds

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()


def _obey(orders: Connection, target: Target) -> None:
    """Runs in the process: attacks from each order to the next."""
    turns: dict[tuple[str, ...], Iterator[str]] = {}
    with sending(target) as kinds, concurrent.futures.ThreadPoolExecutor() as threads:
        orders.send(list(kinds))
        while True:
            names, holds = orders.recv()
            stop, attack = threading.Event(), Attack()
            turn = turns.setdefault(names, itertools.cycle(names))
            tasks = [threads.submit(_send, kinds, turn, attack, stop)]
            if holds:
                tasks.append(threads.submit(_hold, target, stop))
            orders.recv()
            stop.set()
            errors = [repr(error) for task in tasks if (error := task.exception())]
            orders.send((attack, "; ".join(errors)))


def _send(kinds: Mapping[str, Kind], turn: Iterator[str], attack: Attack, stop: threading.Event) -> None:
    """Sends kind after kind, at least one."""
    start = time.monotonic()
    for name in turn:
        attack.answers[name, kinds[name]()] += 1
        attack.seconds = time.monotonic() - start
        if stop.is_set():
            return


def _hold(target: Target, stop: threading.Event) -> None:
    """Holds idle connections at both ports, and slow ones at the REST port."""
    ports = itertools.islice(itertools.cycle((target.grpc_port, target.rest_port)), NUM_IDLE)
    head = b"POST /v1/models/m:predict HTTP/1.1\r\nx: " + b"x" * 10_000
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", target.rest_port))) for _ in range(NUM_SLOW)]
        for byte in head:
            for connection in slow:
                with contextlib.suppress(ConnectionError):  # the server has closed the connection
                    connection.send(bytes([byte]))
            if stop.wait(_SLOW_SECONDS):
                return


@contextlib.contextmanager
def sending(target: Target) -> Iterator[dict[str, Kind]]:
    """Prepares all kinds of hostile requests.

    Args:
      target: The server they are sent to.

    Yields:
      By name, a function that sends one; the functions share connections that stay open.
    """
    import grpc
    import httpx

    from tests.serving.model_server.hostile_connections import CONNECTIONS, send
    from tests.serving.model_server.hostile_requests import GRPC, PREDICTION, REST

    over_grpc = {name: (method, message) for name, (method, message, _, _) in GRPC.items()}
    over_rest = {name: (method, path, body) for name, (method, path, body, _, _) in REST.items()}
    too_much = ranking_messages(target.version)
    over_grpc |= {name: (_PREDICT, message) for name, (message, _) in too_much.items()}
    over_rest |= {name: ("POST", f"/v1/models/{MODEL}:predict", body) for name, (_, body) in too_much.items()}
    with (
        grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}") as channel,
        httpx.Client(base_url=f"http://127.0.0.1:{target.rest_port}", timeout=60) as client,
    ):

        def call(method: str, message: bytes) -> str:
            try:
                channel.unary_unary(method)(message, timeout=60)
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

        def request(method: str, path: str, body: bytes) -> str:
            try:
                return str(client.request(method, path, content=body).status_code)
            except httpx.TransportError as error:
                return type(error).__name__

        kinds: dict[str, Kind] = {}
        for name, (method, message) in over_grpc.items():
            path = method if method.startswith("/") else PREDICTION + method
            kinds[f"gRPC: {name}"] = lambda path=path, message=message: call(path, message)  # type: ignore[misc]
        for name, parts in over_rest.items():
            kinds[f"REST: {name}"] = lambda parts=parts: request(*parts)  # type: ignore[misc]
        for name, (protocol, content) in CONNECTIONS.items():
            port = target.grpc_port if protocol == "grpc" else target.rest_port
            kinds[f"{protocol}: {name}"] = lambda port=port, content=content: send(port, content)  # type: ignore[misc]
        kinds["gRPC: 150 lists of 10,000 candidates at once"] = lambda: _at_once(target, _most(target.version))
        yield kinds


def _at_once(target: Target, message: bytes) -> str:
    """Sends a request many times at once, over a few connections; returns the codes."""
    import grpc

    options = [("grpc.use_local_subchannel_pool", 1)]
    with contextlib.ExitStack() as stack:
        address = f"127.0.0.1:{target.grpc_port}"
        channels = [stack.enter_context(grpc.insecure_channel(address, options)) for _ in range(_NUM_CHANNELS)]
        calls = [
            channel.unary_unary(_PREDICT).future(message, timeout=60)
            for channel in channels
            for _ in range(_NUM_AT_ONCE // _NUM_CHANNELS)
        ]
        codes = {str(call.code().name) for call in calls}
    return " and ".join(sorted(codes))


@functools.cache
def _most(version: Path) -> bytes:
    """Returns a request to rank as many candidates as are allowed."""
    return _with_candidates(version, _MOST)


def ranking_messages(version: Path) -> dict[str, tuple[bytes, bytes]]:
    """Returns requests to rank that are oversized or broken.

    Args:
      version: The version from whose warm-up requests they are derived.

    Returns:
      By name, a serialized PredictRequest, and the same request as a REST body.
    """
    from tensorflow.core.example import example_pb2

    from serving.load_test.recorded import read_recorded

    recorded = read_recorded(str(version))
    examples = [example_pb2.Example.FromString(c) for c in recorded.contexts if isinstance(c, bytes)]
    ids = [str(item if isinstance(item, str) else item[0]) for item in recorded.candidates]
    some, many = (list(itertools.islice(itertools.cycle(ids), number)) for number in (200, _MANY))
    # The context with the longest list.
    longest = max(examples, key=lambda e: max(len(f.bytes_list.value) for f in e.features.feature.values()))
    context = longest.SerializeToString()

    def blown_up(number: int) -> bytes:
        """The context with so many values in each of its lists."""
        example = example_pb2.Example.FromString(context)
        values = [item.encode() for item in itertools.islice(itertools.cycle(ids), number)]
        for feature in example.features.feature.values():
            if len(feature.bytes_list.value) > 1:
                feature.bytes_list.value[:] = values
        return bytes(example.SerializeToString())

    return {
        "100,000 candidates to rank": _rank(context, many),
        "a list of 100,000 values": _rank(blown_up(_MANY), some),
        "a list of 20,000 values, for 200 candidates": _rank(blown_up(_LONG), some),
        "a list of 450,000 values, for one candidate": _rank(blown_up(_LONGEST), some[:1]),
        "a context of half a value": _rank(context[:-3], some),
        "a context of zeros": _rank(bytes(1_000_000), some),
    }


def _with_candidates(version: Path, number: int) -> bytes:
    """Returns a request to rank `number` candidates for a recorded context."""
    from serving.load_test.recorded import read_recorded

    recorded = read_recorded(str(version))
    context = next(context for context in recorded.contexts if isinstance(context, bytes))
    ids = (str(item if isinstance(item, str) else item[0]) for item in recorded.candidates)
    return _rank(context, list(itertools.islice(itertools.cycle(list(ids)), number)))[0]


def _rank(context: bytes, ids: Sequence[str]) -> tuple[bytes, bytes]:
    import base64

    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest(model_spec={"name": MODEL, "signature_name": "rank"})
    for name, values, shape in (("context", [context], [1]), ("item_ids", [i.encode() for i in ids], [1, len(ids)])):
        proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
        for size in shape:
            proto.tensor_shape.dim.add(size=size)
        request.inputs[name].CopyFrom(proto)
    inputs = {"context": [{"b64": base64.b64encode(context).decode()}], "item_ids": [list(ids)]}
    return request.SerializeToString(), json.dumps({"signature_name": "rank", "inputs": inputs}).encode()
