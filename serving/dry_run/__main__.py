"""The process: answers questions about a SavedModel until nobody asks any more."""

from __future__ import annotations

import argparse
import sys
from multiprocessing.connection import Connection


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connection", type=int, required=True, help="the file descriptor of a multiprocessing pipe")
    file_descriptor = parser.parse_args().connection
    # A model server has no Keras, so a model that needs it must not load here. And a third of the time that
    # TensorFlow takes to import is that of Keras.
    sys.modules["keras"] = None  # type: ignore[assignment]
    from serving.dry_run.worker_commands import converse  # late, as it imports TensorFlow

    converse(Connection(file_descriptor))


if __name__ == "__main__":
    main()
