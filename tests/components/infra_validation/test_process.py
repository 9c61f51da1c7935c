"""A dry run's process that ends refuses the model, unless there was no space for temporary files."""

from __future__ import annotations

import errno
import shutil
import signal
import tempfile

import pytest

from components.infra_validation import process
from components.infra_validation.process import DryRunError, DryRunProcess


def killed(running: DryRunProcess) -> DryRunProcess:
    running._process.send_signal(signal.SIGKILL)
    return running


def test_a_process_that_ends_tells_of_the_model() -> None:
    with DryRunProcess(10) as running, pytest.raises(DryRunError, match="its process was killed by SIGKILL"):
        killed(running).wait_for_start()


def test_where_the_disk_is_full_it_tells_nothing_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LEAST_FREE_BYTES", shutil.disk_usage(tempfile.gettempdir()).total)
    with DryRunProcess(10) as running, pytest.raises(OSError, match="No space left on device") as caught:
        killed(running).wait_for_start()
    assert caught.value.errno == errno.ENOSPC
