"""`tfx pipeline create` and `tfx run create` run the same pipeline to a push."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import store

pytestmark = pytest.mark.slow


def test_tfx_runs_the_pipeline_to_a_push(data: Path, tmp_path: Path) -> None:
    binaries = Path(sys.executable).parent
    workspace = tmp_path / "workspace"
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "LOCAL_HOME": str(tmp_path / "local"),
        "WDR_CONFIG": str(store.CONFIG),
        "WDR_DATA": str(data),
        "WDR_WORKSPACE": str(workspace),
        "WDR_SPAN": "1",
    }
    runner = store.ROOT / "pipeline" / "local_runner.py"
    for arguments in (
        ["pipeline", "create", "--engine=local", f"--pipeline-path={runner}"],
        ["run", "create", "--engine=local", f"--pipeline-name={store.NAME}"],
    ):
        done = subprocess.run(
            [str(binaries / "tfx"), *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert store.versions(workspace) == [1]
