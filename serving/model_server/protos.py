"""Imports TensorFlow's generated protos without TensorFlow.

`tensorflow_serving.apis` imports modules such as `tensorflow.core.framework.tensor_pb2`. Through the package's
`__init__`, these import all of TensorFlow's Python code: 6 seconds of processor time and 500 MB. A model server needs
only the protos (0.1 s) and TensorFlow's C library (`serving.model_server.engine.tf_library`, 0.3 s).

As of TensorFlow 2.21.0, a generated module imports other generated modules only.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types


def tensorflow_folder() -> str:
    """The folder in which TensorFlow is installed; found without importing it."""
    loaded = sys.modules.get("tensorflow")
    spec = loaded.__spec__ if loaded else importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the model server needs TensorFlow, which is not installed")
    return str(spec.submodule_search_locations[0])


def import_protos_alone() -> None:
    """Makes later imports of `tensorflow.core…_pb2` skip TensorFlow's `__init__`. Call it at the start of a process.

    It does nothing in a process that has already imported TensorFlow.
    """
    if "tensorflow" not in sys.modules:
        folder = tensorflow_folder()
        bare = types.ModuleType("tensorflow")
        bare.__path__ = [folder]
        bare.__spec__ = importlib.machinery.ModuleSpec("tensorflow", None, is_package=True)
        bare.__spec__.submodule_search_locations = bare.__path__
        sys.modules["tensorflow"] = bare
