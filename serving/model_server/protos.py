"""TensorFlow's generated protos without TensorFlow.

`tensorflow_serving.apis` imports `tensorflow.core.framework.tensor_pb2` and its like, and with them, through the
package's `__init__`, all of TensorFlow's Python: 6 seconds of processor time and 500 MB. A model server needs the
protos (0.1 s) and TensorFlow's C library (`serving.model_server.tf_library`, 0.3 s), nothing of what stands between.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types


def tensorflow_folder() -> str:
    """Where TensorFlow is installed; nothing of it is imported."""
    loaded = sys.modules.get("tensorflow")
    spec = loaded.__spec__ if loaded else importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the model server needs TensorFlow, which is not installed")
    return str(spec.submodule_search_locations[0])


def import_protos_alone() -> None:
    """Makes later imports of `tensorflow.core…_pb2` leave out TensorFlow's `__init__`; for a process's very start.

    A process that has imported TensorFlow already stays as it is.
    """
    if "tensorflow" not in sys.modules:
        folder = tensorflow_folder()
        bare = types.ModuleType("tensorflow")
        bare.__path__ = [folder]
        bare.__spec__ = importlib.machinery.ModuleSpec("tensorflow", None, is_package=True)
        bare.__spec__.submodule_search_locations = bare.__path__
        sys.modules["tensorflow"] = bare
