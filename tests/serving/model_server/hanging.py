"""A folder that hangs: a FUSE file system whose server never answers, as a share whose network is gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_DETACH = 2  # MNT_DETACH


@contextlib.contextmanager
def hanging(folder: Path) -> Iterator[None]:
    """Makes each access to what is in an existing folder hang; skips the test where FUSE must not be mounted."""
    system = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"a folder that hangs needs FUSE: {error}")
    try:
        options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        if system.mount(b"hanging", os.fsencode(folder), b"fuse", 0, options.encode()):
            pytest.skip(f"a folder that hangs needs FUSE: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            system.umount2(os.fsencode(folder), _DETACH)
    finally:
        os.close(device)  # whoever hangs gets an error
