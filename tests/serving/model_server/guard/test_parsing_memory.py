"""Tests of what the process that parses large bodies keeps in memory between two bodies."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError
from serving.model_server.guard.parsing_process import ParsingProcess
from serving.model_server.protocol import json_requests

#: A body of a million objects, which takes some 70 MB when it is parsed; there is no such signature.
REFUSED = b'{"signature_name": "no", "instances": [' + b"{}," * 1_000_000 + b"{}]}"


def test_a_refused_body_is_freed_before_the_next_one() -> None:
    """Of 256 MiB that a body may take, the next one takes more than 200: a result of 100 MiB, and as much, pickled."""

    async def calls(process: ParsingProcess) -> tuple[Any, Any]:
        deadline = time.monotonic() + 60
        parse = process.run(deadline, json_requests.predict_request, REFUSED, Limits(2_000_000, 1 << 30), {})
        outcomes = await asyncio.gather(parse, return_exceptions=True)
        return outcomes[0], await process.run(deadline, bytes, 100 << 20)

    modules = [json_requests.__name__]
    with contextlib.closing(ParsingProcess(2, call_seconds=60.0, max_body_bytes=1, modules=modules)) as process:
        refused, found = asyncio.run(calls(process))
    assert isinstance(refused, ServingError)
    assert refused.message == 'Serving signature name: "no" not found in signature def'
    assert len(found) == 100 << 20
