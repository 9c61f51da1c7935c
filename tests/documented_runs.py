"""Runs the commands of the pages in a copy of the checkout that has a workspace, as a reader of the pages would."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.cli import rank_service, ranking
from pipeline.cli.main import COMMANDS
from pipeline.cli.options import SKIPPED
from tests.adapted_commands import substituted
from tests.documented_commands import Command
from tests.e2e import store
from tests.e2e.bad_store import in_process
from tests.e2e.own_copy import made_here
from tests.pages import ROOT, text_of
from tests.serving.ranking_client.running import free_port, process, wait_until_up

#: What a reader has in the checkout; the tests' archives and the pages' pictures are left out.
_CHECKOUT = (
    ".pre-commit-config.yaml", "LICENSE", "pyproject.toml", "requirements.lock", "benchmarks", "components", "configs",
    "deploy", "docs", "pipeline", "serving", "tests", "trainer", "transform",
)  # fmt: skip
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.tar.xz", "*.png", "_build")

#: How long a server may take to start, of which most is the wait for a busy processor.
_START_SECONDS = 600.0

#: The client commands of a model server, which do not import TensorFlow: in a process of its own, each starts fast.
_CLIENTS = frozenset(
    c.name for c in COMMANDS if c.callback and c.callback.__module__ in (ranking.__name__, rank_service.__name__)
)


@dataclasses.dataclass(frozen=True)
class Ran:
    """How a command ended.

    Attributes:
      line: The command as it ran.
      code: The exit code.
      printed: Its standard output.
      errors: Its standard error.
    """

    line: str
    code: int
    printed: str
    errors: str


def copy_checkout(place: Path) -> None:
    """Copies the checkout into a new folder, with this environment as its `.venv`."""
    place.mkdir()
    for name in _CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=_NOT_COPIED)
        else:
            shutil.copy(ROOT / name, place)
    (place / ".venv").symlink_to(sys.prefix)


class Reader:
    """Someone who runs the commands of pages, each page's in a checkout of its own.

    Attributes:
      has_run: The commands so far, after their substitutions. What an earlier page has is not run again.
    """

    def __init__(self, folder: Path, earlier: Path, servers: contextlib.ExitStack) -> None:
        """Takes an empty folder, and where data and a workspace are.

        Args:
          folder: Where the checkouts are made.
          earlier: The folder that `tests.e2e.earlier_workspace.restore` has filled: five spans, versions 1 to 4.
          servers: Stops the servers.
        """
        self._folder, self._earlier, self._servers = folder, earlier, servers
        self._ports: dict[tuple[str, ...], tuple[int, int]] = {}
        self.has_run: set[str] = set()

    def checkout(self, page: Path) -> Path:
        """A new checkout, with data and a workspace in `runs/`, and the example files of the page."""
        place = self._folder / re.sub(r"\W", "_", str(page.relative_to(ROOT)))
        copy_checkout(place)
        subprocess.run(["git", "init", "--quiet", place], env=_environment(), check=True)
        for name in ("data", "workspace"):
            shutil.copytree(self._earlier / name, place / "runs" / name)
        made_here(place / "runs" / "workspace")
        _write_example_files(text_of(page), place)
        return place

    def run(self, command: Command) -> Ran:
        """Runs a command in the current folder, which is a page's checkout."""
        line = self._at_ports(substituted(command.text))
        self.has_run.add(substituted(command.text))
        if command.language == "python":
            return _snippet(line)
        return self._wdr(line) if command.words[0] == "wdr" else _shell(line)

    def _wdr(self, line: str) -> Ran:
        words = shlex.split(line)[1:]
        if words[0] == "serve":
            self._model_server(words)
            return Ran(line, 0, "answers", "")
        if words[0] == "rank-service":
            return self._rank_service(line)
        if words[0] == "run-node":
            _run_nodes_before(words)
        done = store.wdr(*words, root=Path.cwd()) if words[0] in _CLIENTS else in_process(*words)
        return Ran(line, done.returncode, done.stdout, done.stderr)

    def _at_ports(self, line: str) -> str:
        """A line with the ports of the running server, which is started where the line asks one."""
        if not re.search(r":8500|:8501|^wdr (rank|load-test|tune-client|rank-service) ", line):
            return line
        grpc, rest = self._model_server(["serve", "--models", "runs/workspace/serving"])
        line = re.sub(r"(localhost|127\.0\.0\.1|SERVER):8501", f"127.0.0.1:{rest}", line.replace(":8500", f":{grpc}"))
        return f"{line} --server 127.0.0.1:{grpc}" if line.startswith("wdr ") and "--server" not in line else line

    def _model_server(self, words: list[str]) -> tuple[int, int]:
        """Starts `wdr serve` on free ports, unless it runs with the same options; returns gRPC's port and REST's."""
        options = tuple(w for i, w in enumerate(words) if "-port" not in w and "-port" not in words[i - 1])
        if options not in self._ports:
            grpc, rest = free_port(), free_port()
            log = self._folder / f"model_server_{grpc}.log"
            command = ["-m", "pipeline.cli", *options, "--grpc-port", str(grpc), "--rest-port", str(rest)]
            running = self._servers.enter_context(process(command, log))
            wait_until_up(running, f"http://127.0.0.1:{rest}/readyz", log, _START_SECONDS)
            self._ports[options] = grpc, rest
        return self._ports[options]

    def _rank_service(self, line: str) -> Ran:
        port, log = free_port(), self._folder / "rank_service.log"
        words = shlex.split(line.replace("--port 8080", f"--port {port}"))[1:]
        with process(["-m", "pipeline.cli", *words], log) as running:
            for path in ("docs", "health/live"):
                wait_until_up(running, f"http://127.0.0.1:{port}/{path}", log, _START_SECONDS)
        return Ran(line, 0, "answers", "")


def _snippet(text: str) -> Ran:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(text, {})
    return Ran(text, 0, printed.getvalue(), "")


def _environment() -> dict[str, str]:
    """The variables of a shell that finds this environment's programs; git and pre-commit stay in the folder."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return variables | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "PRE_COMMIT_HOME": str(Path.cwd() / "runs" / "pre-commit"),
    }


def _shell(line: str) -> Ran:
    done = subprocess.run(
        ["bash", "-c", line], env=_environment(), capture_output=True, text=True, timeout=900, check=False
    )
    return Ran(line, done.returncode, done.stdout, done.stderr)


def _run_nodes_before(words: list[str]) -> None:
    """Runs the nodes before the one of `wdr run-node`, as a scheduler does; a gate that stops them is overruled."""
    from pipeline.compile.compiled import read_topology  # imported here, as it imports TFX

    places = {option: words.index(option) + 1 for option in ("--compiled", "--node")}
    for node in read_topology(Path(words[places["--compiled"]]).absolute()).nodes:
        if node.id == words[places["--node"]]:
            return
        accepting = [*words[: places["--node"]], node.id, *words[places["--node"] + 1 :]]
        done = in_process(*accepting[: accepting.index("--accept-span")])
        if done.returncode == SKIPPED:
            done = in_process(*accepting)
        assert done.returncode == 0, done.stdout + done.stderr


def _write_example_files(text: str, place: Path) -> None:
    """Writes a page's first files with a name, such as `log.csv`, where its commands look for them."""
    for name, language, body in reversed(re.findall(r"^`([\w.]+)`:\n\n```(\w+)\n(.*?)```", text, re.M | re.S)):
        folder = place if language == "yaml" else place / "my_store"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(body, encoding="utf-8")
