"""The contexts of ML Metadata that this project adds to TFX's."""

from __future__ import annotations

#: The type of the context that holds the executions of one node in one run.
NODE_RUN = "node_run"


def node_run_name(run: str, node: str) -> str:
    """Returns the name of the context that holds a node's executions in a run."""
    return f"{run}.{node}"
