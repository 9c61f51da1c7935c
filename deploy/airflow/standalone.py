"""Runs the pipeline's DAG in a real Airflow on this machine, without Docker.

    .venv/bin/python deploy/airflow/standalone.py --data DATA --workspace WORKSPACE [CONFIG]

Installs Airflow into an environment of its own, from the lock file next to this script; compiles the config; starts
Airflow's `standalone` (scheduler, triggerer and web pages, in a folder of its own, on loopback only) with the DAG; and
opens the pages in a browser. Ctrl-C stops it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VERSIONS = ("3.3", "2.11")


def install(version: str, folder: Path) -> Path:
    """Installs Airflow, unless the environment already has the packages of this lock file.

    Args:
      version: One of `VERSIONS`.
      folder: The environment's folder.

    Returns:
      The environment's folder of executables.
    """
    lock, installed = HERE / f"requirements-{version}.lock", folder / "installed"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        uv, python = str(Path(sys.executable).parent / "uv"), str(folder / "bin" / "python")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        options = ["--quiet", "--python", python, "--no-deps", "--require-hashes", "--compile-bytecode"]
        subprocess.run([uv, "pip", "install", *options, "-r", str(lock)], check=True)
        installed.write_bytes(lock.read_bytes())
    return folder / "bin"


def environment(version: str, home: Path, commands: Path, port: int, data: Path, workspace: Path) -> dict[str, str]:
    """Returns the environment variables for Airflow and for the DAG's tasks.

    Args:
      version: One of `VERSIONS`.
      home: Airflow's own folder, with the DAG in `dags`.
      commands: The folder of Airflow's executables.
      port: The port of the web pages.
      data: The folder that holds the logs.
      workspace: The pipeline's workspace.
    """
    pages = (
        {
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        }
        if version.startswith("3")
        else {"AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1", "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port)}
    )
    return {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__PARALLELISM": str(os.cpu_count() or 1),
        # In Airflow 3, anyone who reaches the loopback interface is an admin; Airflow 2 writes a password file.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW_CONN_FS_DEFAULT": "fs://",
        "WDR_COMMAND": str(Path(sys.executable).parent / "wdr"),
        "WDR_DATA": str(data),
        "WDR_WORKSPACE": str(workspace),
        **pages,
    }


def open_pages(port: int, airflow: subprocess.Popen[bytes]) -> None:
    """Opens the pages in a browser as soon as Airflow serves them."""
    while airflow.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.5)
        else:
            webbrowser.open(f"http://127.0.0.1:{port}")
            return


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("config", nargs="?", type=Path, default=ROOT / "configs" / "app_store.yaml")
    parser.add_argument("--data", type=Path, required=True, help="The folder that holds the logs.")
    parser.add_argument(
        "--workspace", type=Path, required=True, help="The workspace: the folder for everything that runs produce."
    )
    parser.add_argument("--airflow", choices=VERSIONS, default=VERSIONS[0], help="Which Airflow.")
    parser.add_argument("--home", type=Path, default=ROOT / "runs" / "airflow", help="Airflow's own folder.")
    parser.add_argument("--start", type=datetime.date.fromisoformat, help="The first day with logs.")
    parser.add_argument(
        "--group", action="store_true", help="Run resolvers and gates in the task of the node before them."
    )
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--no-browser", action="store_true", help="Open no pages.")
    options = parser.parse_args()
    home: Path = options.home.absolute() / options.airflow
    commands = install(options.airflow, home / "environment")
    compiled = home / "dags" / "compiled"
    start = ["--start", options.start.isoformat()] if options.start else []
    group = ["--group"] if options.group else []
    subprocess.run(
        [
            Path(sys.executable).parent / "wdr", "compile", options.config, "--target", "airflow", "--out", compiled,
            *start, *group,
        ],
        check=True,
    )  # fmt: skip
    data, workspace = options.data.absolute(), options.workspace.absolute()
    variables = environment(options.airflow, home, commands, options.port, data, workspace)
    with subprocess.Popen([commands / "airflow", "standalone"], env=variables) as airflow:
        try:
            if not options.no_browser:
                threading.Thread(target=open_pages, args=(options.port, airflow), daemon=True).start()
            airflow.wait()
        except KeyboardInterrupt:
            airflow.terminate()
    sys.exit(airflow.returncode)


if __name__ == "__main__":
    main()
