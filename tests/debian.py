"""What a test needs that no wheel brings: Debian's packages, installed by name where that is allowed."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock


def installed(command: str, package: str, folders: str = "") -> str:
    """The path of a command; its package is installed if need be.

    Args:
      command: Its name.
      package: Debian's package that has it.
      folders: A pattern of folders to look into beside PATH.

    Raises:
      FileNotFoundError: If it is not there, and this process may not install it.
    """

    def find() -> str | None:
        return shutil.which(command, path=os.pathsep.join([os.environ["PATH"], *sorted(glob.glob(folders))]))

    with FileLock(Path(tempfile.gettempdir()) / "wdr-tests-apt.lock"):  # tests run side by side, apt does not
        if find() is None and shutil.which("apt-get") and os.geteuid() == 0:
            variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "update", "-qq"], env=variables, check=False)
            install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
            subprocess.run(install, env=variables, check=True)
    found = find()
    if found is None:
        raise FileNotFoundError(f"a test needs the command {command}: install the package {package}")
    return found
