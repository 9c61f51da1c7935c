"""Tests of the process that parses large bodies: its results and errors, its limits, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from benchmarks.model_server import children
from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError
from serving.model_server.guard.parsing_process import ParsingProcess
from serving.model_server.protocol import json_requests
from tests.serving.model_server.running import Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL

#: The rows of a body of 59 kB, which is too large to be parsed in the server's own process.
ROWS = [float(row) for row in range(10_000)]


@pytest.fixture
def parsing() -> Iterator[ParsingProcess]:
    with contextlib.closing(ParsingProcess(max_waiting=2, call_seconds=60.0, max_body_bytes=1)) as process:
        yield process


def soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def code_of(refused: object) -> tuple[grpc.StatusCode, str]:
    assert isinstance(refused, ServingError)
    return refused.code, refused.message


def test_results_and_errors_are_the_function_s(parsing: ParsingProcess) -> None:
    async def calls() -> tuple[object, object]:
        parse = parsing.run(soon(), json_requests.predict_request, b"", Limits(100, 1000), {})
        return await asyncio.gather(parsing.run(soon(), os.getpid), parse, return_exceptions=True)

    pid, refused = asyncio.run(calls())
    assert pid != os.getpid()
    assert code_of(refused) == (grpc.StatusCode.INVALID_ARGUMENT, "JSON Parse error: The document is empty")
    with pytest.raises(RuntimeError, match="ZeroDivisionError: integer division"):
        asyncio.run(parsing.run(soon(), divmod, 1, 0))
    assert asyncio.run(parsing.run(soon(), os.getpid)) == pid


def test_it_gives_way(parsing: ParsingProcess) -> None:
    assert asyncio.run(parsing.run(soon(), os.nice, 0)) == min(os.nice(0) + 10, 19)  # the lowest priority


def test_past_its_bound_a_body_is_refused(parsing: ParsingProcess) -> None:
    """One call is running, and two wait."""

    async def calls() -> list[BaseException | None]:
        called = (parsing.run(soon(), time.sleep, 0.01) for _ in range(4))
        return await asyncio.gather(*called, return_exceptions=True)

    *first, fourth = asyncio.run(calls())
    assert first == [None, None, None]
    expected = "2 large bodies wait already; try again later"
    assert code_of(fourth) == (grpc.StatusCode.RESOURCE_EXHAUSTED, expected)
    assert parsing.num_waiting == 0


def test_what_waits_past_its_deadline_is_not_parsed(parsing: ParsingProcess, tmp_path: Path) -> None:
    async def calls() -> tuple[object, object]:
        called = (parsing.run(soon(), time.sleep, 1.0), parsing.run(soon(0.1), os.mkdir, tmp_path / "late"))
        return await asyncio.gather(*called, return_exceptions=True)

    first, late = asyncio.run(calls())
    assert first is None
    assert code_of(late)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert asyncio.run(parsing.run(soon(), abs, -1)) == 1
    assert not (tmp_path / "late").exists()


def test_a_caller_s_deadline_does_not_end_the_start(parsing: ParsingProcess) -> None:
    """The start takes longer than these callers wait."""

    async def calls() -> int:
        end = soon()
        while time.monotonic() < end:
            with contextlib.suppress(ServingError):
                return await parsing.run(soon(0.05), os.getpid)
        raise AssertionError("no call was answered")

    assert asyncio.run(calls()) != os.getpid()


def test_a_caller_that_gives_up_does_not_end_the_process(parsing: ParsingProcess, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def calls(stack: contextlib.ExitStack) -> tuple[int, object, int]:
        pid = await parsing.run(soon(), os.getpid)
        # Opening the file for reading lasts until it is open for writing.
        late = await asyncio.gather(parsing.run(soon(0.1), os.open, fifo, os.O_RDONLY), return_exceptions=True)
        cancelled = asyncio.create_task(parsing.run(soon(), os.mkdir, tmp_path / "done"))
        async with asyncio.timeout(60):
            while not parsing.num_waiting:
                await asyncio.sleep(0)
            stack.callback(os.close, os.open(fifo, os.O_RDWR))  # for writing alone, it would wait for the reader
            while parsing.num_waiting:
                await asyncio.sleep(0.01)
        cancelled.cancel()
        return pid, late[0], await parsing.run(soon(), os.getpid)

    with contextlib.ExitStack() as stack:
        pid, late, after = asyncio.run(calls(stack))
    assert code_of(late)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert after == pid
    assert (tmp_path / "done").exists()


def test_a_deadline_in_the_past(parsing: ParsingProcess, tmp_path: Path) -> None:
    async def calls() -> tuple[object, object]:
        late = await asyncio.gather(parsing.run(soon(-1.0), os.mkdir, tmp_path / "late"), return_exceptions=True)
        return late[0], await parsing.run(soon(), abs, -1)

    late, next_one = asyncio.run(calls())
    assert code_of(late)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert next_one == 1
    assert not (tmp_path / "late").exists()


def test_what_is_at_work_past_the_time_limit_is_ended(logged: Callable[[], list[dict[str, Any]]]) -> None:
    """Whether or not its caller still waits."""

    async def calls(parsing: ParsingProcess) -> list[Any]:
        first = await parsing.run(soon(), os.getpid)
        late = await asyncio.gather(parsing.run(soon(), time.sleep, 600.0), return_exceptions=True)
        second = await parsing.run(soon(), os.getpid)
        gone = await asyncio.gather(parsing.run(soon(0.1), time.sleep, 600.0), return_exceptions=True)
        return [first, late[0], second, gone[0], await parsing.run(soon(), os.getpid)]

    with contextlib.closing(ParsingProcess(max_waiting=2, call_seconds=2.0, max_body_bytes=1)) as parsing:
        first, late, second, gone, third = asyncio.run(calls(parsing))
    assert len({first, second, third}) == 3
    assert code_of(late) == (grpc.StatusCode.DEADLINE_EXCEEDED, "a body must be parsed within 2 seconds")
    assert code_of(gone)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [(line["reason"], line["exit_code"]) for line in logged()] == [
        ("a body must be parsed within 2 seconds", -signal.SIGKILL)
    ] * 2


def test_what_takes_too_much_memory_is_refused(parsing: ParsingProcess) -> None:
    """At least 256 MiB are allowed. Of 150 MiB, the result has as much once more when it is pickled."""

    async def calls() -> tuple[list[Any], list[int]]:
        pids, answers = [await parsing.run(soon(), os.getpid)], list[Any]()
        for num_bytes in (260 << 20, 150 << 20):
            answers += await asyncio.gather(parsing.run(soon(), bytes, num_bytes), return_exceptions=True)
            pids.append(await parsing.run(soon(), os.getpid))
        answers.append(await parsing.run(soon(), len, b"x" * (100 << 20)))
        return answers, [*pids, await parsing.run(soon(), os.getpid)]

    (first, second, last), pids = asyncio.run(calls())
    for refused in (first, second):
        text = "a large body must be parsed within 268435456 bytes of memory. Received: one that takes more"
        assert code_of(refused) == (grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    assert last == 100 << 20
    assert len(set(pids)) == 1


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_it_can_be_closed_while_it_starts(seconds: float) -> None:
    """A start that was begun delays no end, and leaves no process."""

    async def close_soon() -> None:
        with contextlib.closing(ParsingProcess(max_waiting=2, call_seconds=60.0, max_body_bytes=1)) as parsing:
            parsing.start()
            await asyncio.sleep(seconds)

    before = children(os.getpid())
    asyncio.run(close_soon())
    left = set(children(os.getpid())) - set(before)
    assert all(b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left)


def during(parsing: ParsingProcess, number: int, seconds: float) -> Any:
    """Sends the process a signal while it sleeps for `seconds`; returns the sleep's result."""

    async def call() -> Any:
        pid = await parsing.run(soon(), os.getpid)
        asyncio.get_running_loop().call_later(0.1, os.kill, pid, number)
        return await parsing.run(soon(), time.sleep, seconds)

    return asyncio.run(call())


def test_if_it_is_killed_another_one_takes_its_place(
    parsing: ParsingProcess, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    with pytest.raises(ServingError) as refused:
        during(parsing, signal.SIGKILL, 600.0)
    expected = "the process that parses large bodies has ended; try again"
    assert code_of(refused.value) == (grpc.StatusCode.UNAVAILABLE, expected)
    (line,) = logged()
    assert (line["message"], line["exit_code"]) == ("the process that parses large bodies ended", -signal.SIGKILL)
    idle = asyncio.run(parsing.run(soon(), os.getpid))
    os.kill(idle, signal.SIGKILL)
    # The process is a zombie as soon as its first thread has ended, and is dead only with the last one.
    wait_for(lambda: state(idle) == "Z" and len(os.listdir(f"/proc/{idle}/task")) == 1, "its end")
    assert asyncio.run(parsing.run(soon(), os.getpid)) != idle


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_all_processes_are_told_does_not_end_it(parsing: ParsingProcess, number: int) -> None:
    """The server answers running requests before it ends."""
    assert during(parsing, number, 1.0) is None


def state(pid: int) -> str:
    """A process's state as in /proc; X if it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "X"


def parser_of(server: Server) -> int:
    """The id of the process in which a server parses large bodies."""
    pids = children(server.process.pid)
    (parser,) = [pid for pid in pids if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return parser


@pytest.mark.parametrize("end", [Server.stop, lambda server: server.process.kill()])
def test_a_server_s_large_bodies(models: Path, end: Callable[[Server], object]) -> None:
    """Large bodies are answered as small ones are; their process starts with the server and ends with it, however."""
    with running("--models", models) as server:
        parser = parser_of(server)
        by_row = server.rest.post(f"/v1/models/{MODEL}:predict", content=json.dumps({"instances": ROWS}))
        by_column = server.rest.post(f"/v1/models/{MODEL}:predict", content=json.dumps({"inputs": ROWS}))
        texts = {"signature_name": "images", "inputs": ["a"] * 10_001}
        refused = server.rest.post(f"/v1/models/{MODEL}:predict", content=json.dumps(texts))
        assert parser_of(server) == parser
        end(server)
        wait_for(lambda: state(parser) in "ZX", "the parser's end")  # a zombie may stay if no parent reaps it
    expected = [row / 2 + 3 for row in ROWS]
    assert (by_row.json(), by_column.json()) == ({"predictions": expected}, {"outputs": expected})
    sentence = "input image_bytes must have at most 10000 elements, such as candidates. Received: 10001"
    assert refused.json() == {"error": sentence}


def peak_mb(pid: int) -> int:
    """The most memory that a process has had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) >> 10


@pytest.mark.slow
def test_bodies_of_lists_in_each_other_are_bounded_by_memory(models: Path) -> None:
    """Two bytes of such a text make a list of 100 bytes: 7.9 MB of them took 346 MB beside the process's 66.

    Afterwards, the same process parses the next body.
    """
    inner = "[" * 200 + "]" * 200
    content = '{"instances": [' + ",".join([inner] * (7_900_000 // 401)) + "]}"
    with running("--models", models, "--timeout-seconds", "600") as server, ThreadPoolExecutor(3) as pool:
        parser = parser_of(server)
        path = f"/v1/models/{MODEL}:predict"
        server.rest.post(path, content=json.dumps({"instances": ROWS}))  # once it answers, it has imported all
        before = peak_mb(parser)
        answers = list(pool.map(lambda _: server.rest.post(path, content=content), range(3)))
        good = server.rest.post(path, content=json.dumps({"instances": ROWS}))
        assert parser_of(server) == parser
        assert peak_mb(parser) < before + 256 + 20
    assert [answer.status_code for answer in answers] == [429] * 3
    rule = "a large body must be parsed within 268435456 bytes of memory. Received: one of {} bytes that takes more"
    assert answers[0].json() == {"error": rule.format(len(content))}
    assert good.json() == {"predictions": [row / 2 + 3 for row in ROWS]}


def test_a_server_that_is_killed_while_it_parses_leaves_no_process_and_no_traceback(models: Path) -> None:
    rows = b'{"examples": [' + b"{}," * 1_000_000 + b"{}]}"
    with running("--models", models) as server, ThreadPoolExecutor(1) as pool:
        parser = parser_of(server)
        sent = pool.submit(server.rest.post, f"/v1/models/{MODEL}:regress", content=rows)
        wait_for(lambda: state(parser) == "R", "a body at work")
        server.process.kill()
        assert isinstance(sent.exception(), httpx.TransportError)
        wait_for(lambda: state(parser) in "ZX", "the parser's end")


def test_a_body_for_what_is_not_there_is_not_parsed(server: Server) -> None:
    for verb in ("predict", "classify", "regress"):
        answer = server.rest.post(f"/v1/models/no:{verb}", content="{")
        assert (answer.status_code, answer.json()) == (404, {"error": "Servable not found for request: Latest(no)"})
