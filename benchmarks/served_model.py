"""A pushed version of the paper's size, and `wdr serve` with it in a process of its own."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.create import RunSettings
from pipeline.raw_rows import model_config
from pipeline.run import run
from pipeline.simulator import simulate
from pipeline.workspace import Workspace, new_run_id
from serving.ranking.client import RankingClient
from serving.ranking.errors import RankingError
from serving.ranking.settings import ClientSettings
from transform.config import load_config
from transform.feature_spec import IMPRESSIONS

CONFIG = Path(__file__).parent.parent / "configs" / "app_store.yaml"
NUM_IMPRESSIONS = 1_000_000
NUM_USERS = 50_000
NUM_APPS = 5_000
#: With the store's 12 embeddings, the deep part's input is 1,206 wide, as the paper's about 1,200.
EMBEDDING_DIM = 100

_START_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what says which version is served."""
    parser.add_argument("--version", type=Path, help="a pushed version; without it, one is made")
    parser.add_argument("--impressions", type=int, default=NUM_IMPRESSIONS, help="of the simulated store")
    parser.add_argument("--candidates", type=int, default=200, help="of a request")


@contextlib.contextmanager
def served_version(arguments: argparse.Namespace) -> Iterator[tuple[Path, ClientSettings]]:
    """Makes the version if none is given, and serves it.

    Args:
      arguments: Parsed, of `add_arguments`.

    Yields:
      The version, and the settings of a client of its server.
    """
    with tempfile.TemporaryDirectory() as folder:
        version = arguments.version
        if version is None:
            # In a process of its own, so that the measurements find a clean one.
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(1, context) as process:
                version = process.submit(push_paper_model, Path(folder), arguments.impressions).result()
        with _serving(version.resolve()) as settings:
            yield version, settings


def push_paper_model(folder: Path, num_impressions: int) -> Path:
    """Simulates a store and runs the pipeline once, with wider embeddings and one pass over the examples."""
    data = folder / "data"
    simulate(data, num_days=1, impressions_per_day=num_impressions, num_users=NUM_USERS, num_apps=NUM_APPS)
    config = load_config(CONFIG)
    config = dataclasses.replace(
        config,
        ingestion=dataclasses.replace(config.ingestion, window_spans=1),
        model=dataclasses.replace(config.model, embedding_dim=EMBEDDING_DIM),
        training=dataclasses.replace(config.training, num_epochs=1, batch_size=512),
    )
    workspace = Workspace.at(folder / "workspace")
    run(config, RunSettings(str(data), workspace), new_run_id(), lambda event: print(f"{event.node_id}: {event.state}"))
    (version,) = workspace.serving(config.name).glob("[0-9]*")
    return version


@contextlib.contextmanager
def _serving(version: Path) -> Iterator[ClientSettings]:
    name = version.parent.name
    with socket.socket() as grpc_socket, socket.socket() as rest_socket:
        grpc_socket.bind(("127.0.0.1", 0))
        rest_socket.bind(("127.0.0.1", 0))
        grpc_port, rest_port = grpc_socket.getsockname()[1], rest_socket.getsockname()[1]
    command = [sys.executable, "-m", "serving.model_server", "--model", f"{name}={version.parent}"]
    command += ["--specific", f"{name}={version.name}", "--grpc-port", str(grpc_port), "--rest-port", str(rest_port)]
    settings = ClientSettings(
        model=name, server=f"127.0.0.1:{grpc_port}", item_id_feature=item_id_feature(version), deadline_seconds=10.0
    )
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            _wait_until_up(server, settings)
            yield settings
        finally:
            server.terminate()


def _wait_until_up(server: subprocess.Popen[bytes], settings: ClientSettings) -> None:
    end = time.monotonic() + _START_SECONDS
    with RankingClient(settings) as client:
        while True:
            try:
                client.signatures()
            except RankingError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return


def item_id_feature(version: Path) -> str:
    """The feature by which a version's catalog is looked up."""
    config = model_config(str(version))
    (key,) = {table.log_column for table in config.sources.tables.values() if table.broadcast}
    (name,) = [f.name for f in config.features_of(IMPRESSIONS) if f.source_column == key]
    return name
