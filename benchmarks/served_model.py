"""A pushed version of the paper's size, and `wdr serve` with it in a process of its own."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.model_server import MODEL, free_port, push, running
from pipeline.batch_scoring.raw_rows import model_config
from pipeline.nodes.settings import RunSettings
from pipeline.runner.run import run
from pipeline.simulator import simulate
from pipeline.workspace import Workspace, new_run_id
from serving.ranking_client.settings import ClientSettings
from transform.config.config_file import load_config
from transform.errors import UserError

CONFIG = Path(__file__).parent.parent / "configs" / "app_store.yaml"
NUM_IMPRESSIONS = 1_000_000
NUM_USERS = 50_000
NUM_APPS = 5_000
#: With the store's 12 embeddings, the deep part's input has 1,206 columns; the paper's has about 1,200.
EMBEDDING_DIM = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that select the version to serve."""
    parser.add_argument("--version", type=Path, help="a pushed version; without it, one is made")
    parser.add_argument("--impressions", type=int, default=NUM_IMPRESSIONS, help="of the simulated store")
    parser.add_argument("--candidates", type=int, default=200, help="of a request")


@contextlib.contextmanager
def served_version(arguments: argparse.Namespace) -> Iterator[tuple[Path, ClientSettings]]:
    """Serves a version; makes one if none is given.

    Args:
      arguments: The parsed options of `add_arguments`.

    Yields:
      The version, and the settings for a client of its server.
    """
    with tempfile.TemporaryDirectory() as folder:
        version = arguments.version or push_in_other_process(Path(folder), arguments.impressions)
        models, port = Path(folder) / "models", free_port()
        push(version, models, 1)
        with running(models, port) as server:
            server.wait_until_ready()
            yield (
                version,
                ClientSettings(
                    MODEL, f"127.0.0.1:{port}", item_id_feature=item_id_feature(version), deadline_seconds=10.0
                ),
            )


def push_in_other_process(folder: Path, num_impressions: int) -> Path:
    """Runs `push_paper_model` in a process of its own, so that the measurements run in a clean one."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as process:
        return process.submit(push_paper_model, folder, num_impressions).result()


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
    versions = list(workspace.serving(config.name).glob("[0-9]*"))
    if not versions:
        raise UserError(f"the model must be pushed. Received: refused, as the run's report says ({workspace.reports})")
    return versions[0]


def item_id_feature(version: Path) -> str:
    """Returns the feature that is the key of a version's catalog."""
    identity = model_config(str(version)).item_id
    assert identity is not None  # the paper's model has one
    return identity.name
