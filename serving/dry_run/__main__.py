"""The dry run's process: answers commands about a SavedModel until its parent closes the connection."""

from __future__ import annotations

import argparse
import gc
import sys
from multiprocessing.connection import Connection


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connection", type=int, required=True, help="the file descriptor of a multiprocessing pipe")
    file_descriptor = parser.parse_args().connection
    # A model server has no Keras, so a model that needs it must not load here. Also, Keras takes a third of
    # TensorFlow's import time. TensorFlow 2.21.0 can be imported without Keras.
    sys.modules["keras"] = None  # type: ignore[assignment]
    gc.disable()  # imported modules stay in memory, and scanning them takes a sixth of the import's time
    from serving.dry_run.worker_commands import converse  # late, as it imports TensorFlow

    gc.enable()
    converse(Connection(file_descriptor))


if __name__ == "__main__":
    main()
