"""The start-up benchmark measures only a command that answers as it should."""

from __future__ import annotations

import sys

import pytest

from benchmarks.start_up import user_seconds
from transform.errors import UserError


def test_a_command_must_end_with_its_exit_code() -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no module of that name')"]
    assert user_seconds(failing, 1, code=1) >= 0
    with pytest.raises(UserError, match=r"must end with exit code 0\. Received: 1\nno module of that name"):
        user_seconds(failing, 1)
