"""Tests of the threads of functions that may block."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from serving.model_server.guard import background


def test_a_system_that_refuses_another_priority_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    """The functions run all the same. gVisor refuses the policy, a seccomp profile the niceness."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    async def run() -> list[object]:
        return [await asyncio.wait_for(background.start(abs, -n, behind_requests=True), 30) for n in (1, 2)]

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "nice", refuse)
    assert asyncio.run(run()) == [1, 2]
    message = "a thread or process keeps its priority"
    assert [(line["message"], line["reason"]) for line in logged()] == [(message, "[Errno 22] Invalid argument")]
