"""A loaded SavedModel, and how its signatures are run."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving.model_server.engine.parsing_specs import ParsingSpecs
from serving.model_server.engine.signatures import Inputs, Signature, Tensors
from serving.model_server.engine.tensors import proto_shape, values_dtype, values_field
from serving.model_server.engine.tf_library import Output, Session, Tensor, library, start_threads
from serving.model_server.errors import invalid

#: The operation that initializes a SavedModel at its load. TensorFlow 2.21.0 lists it among the signatures.
_INIT_SIGNATURE = "__saved_model_init_op"

#: The loading thread runs all of a load's operations itself, at its low priority. A request's operations are spread
#: over the threads that all sessions share: on two cores, ranking 200 candidates takes 2.6 to 4.0 ms, otherwise 4.1 ms.
_IN_THIS_THREAD = config_pb2.RunOptions(inter_op_thread_pool=-1).SerializeToString()

#: Converting this many values to Python numbers takes about 0.3 ms, during which no other thread runs.
_VALUES_AT_ONCE = 10_000

#: A string in a tensor takes 24 bytes (`ctstring_internal.h` of TensorFlow 2.21.0). A short string is stored in them,
#: with its size times four in the first byte. The last two bits of that byte say how a longer string is stored.
_STRING_BYTES = 24
_KIND_BITS = 3
_SHORT = 0

#: TensorFlow counts a time limit in microseconds, as a 64-bit integer.
_MAX_MILLISECONDS = (1 << 63) // 1000 - 1


def session_config(num_threads: int) -> bytes:
    """The configuration of all sessions, a serialized ConfigProto.

    Args:
      num_threads: The number of threads over which a run is spread; all models share them.
    """
    config = config_pb2.ConfigProto(intra_op_parallelism_threads=num_threads, inter_op_parallelism_threads=num_threads)
    serialized: bytes = config.SerializeToString()
    return serialized


def start(num_threads: int) -> None:
    """Starts the threads that all models share. Call it first, from a thread of normal priority."""
    start_threads(session_config(num_threads))


class Servable:
    """A loaded SavedModel. `run` may be called from any number of threads at once."""

    def __init__(self, path: str, num_threads: int) -> None:
        """Loads a SavedModel.

        Args:
          path: The SavedModel's folder.
          num_threads: As in `session_config`.

        Raises:
          ServingError: If it does not load.
        """
        self._session = Session(path, session_config(num_threads), _IN_THIS_THREAD)
        try:
            self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(self._session.meta_graph)
            definitions = {
                name: definition
                for name, definition in self.meta_graph.signature_def.items()
                if name != _INIT_SIGNATURE
            }
            #: By signature, where its inputs are fed into the graph, and where its outputs are fetched from it.
            self._ends = {
                name: (self._graph_outputs(definition.inputs), self._graph_outputs(definition.outputs))
                for name, definition in definitions.items()
            }
            specs = ParsingSpecs(self.meta_graph)
            self.signatures = {
                name: Signature(name, found, sorted(found.inputs), sorted(found.outputs), specs.float_features(found))
                for name, found in definitions.items()
            }
        except BaseException:  # such as a signature that names a tensor that the graph lacks
            self._session.close()
            raise

    def _graph_outputs(self, infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> list[Output]:
        return [self._session.output(info.name) for _, info in sorted(infos.items())]

    def run(
        self,
        signature: Signature,
        inputs: Inputs,
        requested: Sequence[str] = (),
        *,
        deadline: float | None = None,
        is_large: bool = False,
    ) -> Tensors:
        """Computes a signature's outputs.

        All outputs are computed, even those not wanted: TensorFlow would plan a run anew, and keep the plan, for each
        set of outputs that clients ask for.

        Args:
          signature: One of `signatures`.
          inputs: A tensor for each of its inputs, checked by `check_inputs`.
          requested: The outputs to return; empty for all.
          deadline: When TensorFlow stops computing, on `time.monotonic`'s clock. None is for warm-up: the run has no
            time limit, and uses only this thread, not the threads that compute requests.
          is_large: Whether it has threads apart from those of other runs.

        Raises:
          ServingError: If the model refuses the inputs, the deadline passes, or `cancel` was called.
        """
        tensors = [to_tensor(inputs[name]) for name in signature.inputs]
        options = _IN_THIS_THREAD if deadline is None else _run_options(deadline, is_large)
        feeds, fetches = self._ends[signature.name]
        found = zip(signature.outputs, self._session.run(feeds, tensors, fetches, options), strict=True)
        return {name: to_proto(tensor) for name, tensor in found if not requested or name in requested}

    def cancel(self) -> None:
        """Aborts the running computations with an error, and refuses further ones."""
        self._session.cancel()

    def close(self) -> None:
        """Frees the model's memory. Call it only when nothing runs any more."""
        self._session.close()


def _run_options(deadline: float, is_large: bool) -> bytes:
    """Serializes RunOptions: use all threads, until a time on `time.monotonic`'s clock, at least 1 ms from now.

    TensorFlow takes no shorter time: 0 would be no limit. A large run has TensorFlow's run handler pool: in the pool
    that the others share, the parts of a small run would wait behind all parts of a large run's matrix product. The
    run handler pool's threads use processor time from its first run on, so small runs do not use it.
    """
    milliseconds = max(1, math.ceil(1000 * (deadline - time.monotonic())))
    options = config_pb2.RunOptions(timeout_in_ms=min(milliseconds, _MAX_MILLISECONDS))
    options.experimental.use_run_handler_pool = is_large
    serialized: bytes = options.SerializeToString()
    return serialized


def to_tensor(proto: tensor_pb2.TensorProto) -> Tensor:
    """Converts a request's tensor, whose dtype and number of elements have been checked.

    Raises:
      ServingError: If the values do not fit the shape.
    """
    _check_values(proto)
    return Tensor.from_proto(proto.SerializeToString())


def _check_values(proto: tensor_pb2.TensorProto) -> None:
    """Checks the number of values against the shape: TensorFlow would fill in missing values and drop surplus ones."""
    num_elements, num_values = math.prod(proto_shape(proto)), len(getattr(proto, values_field(proto.dtype)))
    if proto.tensor_content:
        if proto.dtype == types_pb2.DT_STRING:
            raise invalid("a string tensor's values must be in `string_val`. Received: `tensor_content`")
        num_bytes = num_elements * values_dtype(proto.dtype).itemsize
        if len(proto.tensor_content) != num_bytes:
            raise invalid(
                f"a tensor of {num_elements} elements must have {num_bytes} bytes. "
                f"Received: {len(proto.tensor_content)}"
            )
        return
    if num_values not in (num_elements, 1):  # a single value is repeated for all elements
        raise invalid(f"a tensor of {num_elements} elements must have as many values, or one. Received: {num_values}")


def to_proto(tensor: Tensor) -> tensor_pb2.TensorProto:
    """Converts an output tensor to a TensorProto with the values in its dtype's field, as TF Serving does."""
    proto = tensor_pb2.TensorProto(dtype=tensor.dtype)
    proto.tensor_shape.SetInParent()
    for size in tensor.shape:
        proto.tensor_shape.dim.add(size=size)
    values = getattr(proto, values_field(tensor.dtype))
    if tensor.dtype == types_pb2.DT_STRING:
        values.extend(_strings(tensor))
    else:
        found = np.frombuffer(tensor.raw, values_dtype(tensor.dtype))
        for start in range(0, len(found), _VALUES_AT_ONCE):  # other threads run in between
            values.extend(found[start : start + _VALUES_AT_ONCE].tolist())
    return proto


def _strings(tensor: Tensor) -> list[bytes]:
    raw, address = tensor.raw, tensor.address
    strings = []
    for at in range(0, len(raw), _STRING_BYTES):
        head = raw[at]
        if head & _KIND_BITS == _SHORT:
            strings.append(raw[at + 1 : at + 1 + (head >> 2)])
        else:
            size = library().TF_StringGetSize(address + at)
            strings.append(ctypes.string_at(library().TF_StringGetDataPointer(address + at), size))
    return strings
