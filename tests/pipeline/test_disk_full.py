"""A full disk is distinguished from other failures, whichever library reports it."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from ml_metadata import errors as mlmd_errors

from pipeline.errors import sentence
from pipeline.outages import disk_full, is_disk_full
from pipeline.workspace import Workspace


def raised_on_the_way_to(error: Exception, last: Exception) -> Exception:
    """Returns an error that was raised while another one was handled."""
    try:
        try:
            raise error
        except Exception:
            raise last  # noqa: B904
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b"), True),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), True),
        (tf.errors.ResourceExhaustedError(None, None, "/a/b; No space left on device"), True),
        (mlmd_errors.InternalError("Error when executing query: database or disk is full"), True),
        (RuntimeError("OSError: [Errno 28] No space left on device [while running 'Write']"), True),
        (raised_on_the_way_to(OSError(errno.ENOSPC, "No space left on device"), ValueError("truncated")), True),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor"), False),
        (OSError(errno.EACCES, os.strerror(errno.EACCES), "/a/b"), False),
        (raised_on_the_way_to(ValueError("a"), ValueError("b")), False),
    ],
)
def test_a_full_disk_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_disk_full(error) is expected


def test_a_command_says_in_words_that_a_disk_is_full() -> None:
    """Such as `wdr gc`, which needs a little room itself."""
    again = "free some space, then give the same command again"
    where = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b")
    assert sentence(where) == f"no space left on the disk of /a/b; {again}"
    while_writing = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    assert sentence(while_writing) == f"no space left on the disk, or the user's quota is used up; {again}"


def test_the_sentence_says_where_and_how_much_there_is(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    usage = os.statvfs(tmp_path)
    reported = re.fullmatch(
        r"no space left on the disk of (.+): ([\d,.]+) of its ([\d,.]+) MB are free now; "
        r"free some space, then run the same command again to continue",
        disk_full(Workspace.at(tmp_path)),
    )
    assert reported is not None
    assert reported[1].startswith(str(tmp_path))
    free, total = (float(number.replace(",", "")) for number in reported.groups()[1:])
    assert total == pytest.approx(usage.f_blocks * usage.f_frsize / 2**20, abs=0.1)
    assert 0 <= free <= total


_SHOWS = """
from pathlib import Path
from pipeline.cli.display import RunDisplay
with RunDisplay(Path("/dev/full")) as display:
    print("chatter")
    display.console.print("what a person is to see")
print("what comes after")
"""


def test_a_log_that_takes_nothing_leaves_the_terminal_as_it_is() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", _SHOWS], capture_output=True, text=True, check=False, env=buffered)
    assert (done.stdout, done.stderr, done.returncode) == ("what a person is to see\nwhat comes after\n", "", 0)
