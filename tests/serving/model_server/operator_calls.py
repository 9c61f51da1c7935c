"""Calls that only an operator may make, and a server that does not start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grpc
from tensorflow_serving.apis import model_management_pb2

from tests.serving.model_server.tiny_models import MODEL

FORBIDDEN = (
    grpc.StatusCode.PERMISSION_DENIED,
    "HandleReloadConfigRequest must come with the operator's token, as `authorization: Bearer TOKEN`, or to a port "
    "that is bound to loopback",
)


#: All addresses of the machine: others can reach such a port.
ANY = ("--host", "0.0.0.0")


def reload(folder: Path, model: str = MODEL) -> model_management_pb2.ReloadConfigRequest:
    """A request that serves the same model a second time, as `renamed`."""
    configs = [{"name": name, "base_path": str(folder / model)} for name in (model, "renamed")]
    return model_management_pb2.ReloadConfigRequest(config={"model_config_list": {"config": configs}})


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def failed(*options: str | Path) -> str:
    """Starts a server that fails; returns the last line of its standard error."""
    command = [sys.executable, "-m", "serving.model_server", "--grpc-port", "0", "--rest-port", "0"]
    done = subprocess.run([*command, *map(str, options)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]
