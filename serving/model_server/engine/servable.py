"""A loaded version of a model: its signatures, and how they are run."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence

import grpc
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving.model_server.engine.parsing_specs import ParsingSpecs
from serving.model_server.engine.tensors import dtype_name, element_bytes, proto_shape, to_proto, to_tensor
from serving.model_server.engine.tf_library import Output, Session, start_threads
from serving.model_server.errors import ServingError, invalid
from serving.model_server.guard.wire import MAX_RANK

#: TF Serving's constants, from `tensorflow/cc/saved_model/signature_constants.h`.
DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

#: The operation that initializes a SavedModel at its load. TensorFlow 2.21.0 lists it among the signatures.
_INIT_SIGNATURE = "__saved_model_init_op"

#: The loading thread runs all of a load's operations itself, at its low priority. A request's operations are spread
#: over the threads that all sessions share: on two cores, ranking 200 candidates takes 2.6 to 4.0 ms, otherwise 4.1 ms.
_IN_THIS_THREAD = config_pb2.RunOptions(inter_op_thread_pool=-1).SerializeToString()

Tensors = dict[str, tensor_pb2.TensorProto]

_MAX_INT64 = (1 << 63) - 1

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


@dataclasses.dataclass(frozen=True)
class Signature:
    """One of a model's signatures.

    Attributes:
      name: Its name.
      definition: Its SignatureDef: the method name, and the dtypes and shapes of its inputs and outputs.
      feeds: By input name, sorted, the place in the graph where the input is fed.
      fetches: By output name, sorted, the place in the graph from which the output is fetched.
      float_features: The features that it parses from tf.Examples as floats.
    """

    name: str
    definition: meta_graph_pb2.SignatureDef
    feeds: Mapping[str, Output]
    fetches: Mapping[str, Output]
    float_features: frozenset[str] = frozenset()


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
            specs = ParsingSpecs(self.meta_graph)
            self.signatures = {
                name: self._signature(name, definition, specs)
                for name, definition in self.meta_graph.signature_def.items()
                if name != _INIT_SIGNATURE
            }
        except BaseException:  # such as a signature that names a tensor that the graph lacks
            self._session.close()
            raise

    def _signature(self, name: str, definition: meta_graph_pb2.SignatureDef, specs: ParsingSpecs) -> Signature:
        feeds, fetches = (
            {alias: self._session.output(info.name) for alias, info in sorted(infos.items())}
            for infos in (definition.inputs, definition.outputs)
        )
        return Signature(name, definition, feeds, fetches, specs.float_features(definition))

    def run(
        self,
        signature: Signature,
        inputs: Mapping[str, tensor_pb2.TensorProto],
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
        tensors = [to_tensor(inputs[name]) for name in signature.feeds]
        options = _IN_THIS_THREAD if deadline is None else _run_options(deadline, is_large)
        outputs = self._session.run(list(signature.feeds.values()), tensors, list(signature.fetches.values()), options)
        found = zip(signature.fetches, outputs, strict=True)
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


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits on an input tensor's size, by what its elements cost.

    A string may be a candidate or a whole tf.Example, so strings are counted. A number costs the bytes that it takes,
    even if a request has one value for all elements; an image has many numbers.

    Attributes:
      max_strings: The most elements of a string tensor.
      max_bytes: The most bytes of a numeric or boolean tensor.
    """

    max_strings: int
    max_bytes: int

    def check(self, name: str, dtype: int, num_elements: int) -> None:
        """Checks the size of an input.

        Raises:
          ServingError: If it is too large.
        """
        if dtype == types_pb2.DT_STRING:
            if num_elements > self.max_strings:
                raise invalid(
                    f"input {name} must have at most {self.max_strings} elements, such as candidates. "
                    f"Received: {_written(num_elements)}"
                )
        elif (num_bytes := num_elements * element_bytes(dtype)) > self.max_bytes:
            raise invalid(f"input {name} must have at most {self.max_bytes} bytes. Received: {_written(num_bytes)}")


def check_rank(name: str, rank: int) -> None:
    """Checks an input's number of dimensions against TensorFlow's limit.

    Raises:
      ServingError: If it has more.
    """
    if rank > MAX_RANK:
        raise invalid(f"input {name} must have at most {MAX_RANK} dimensions. Received: {rank}")


def _written(number: int) -> str:
    """Formats a number for an error message; a shape's product may have more digits than Python converts to text."""
    return str(number) if number <= _MAX_INT64 else f"more than {_MAX_INT64}"


def find_signature(servable: Servable, name: str) -> Signature:
    """Finds the signature of a Predict request.

    Raises:
      ServingError: If there is no such signature.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return servable.signatures[name]


def check_inputs(
    signature: Signature, inputs: Mapping[str, tensor_pb2.TensorProto], limits: Limits | None = None
) -> None:
    """Checks a request's tensors against a signature's names and dtypes, and against limits.

    As in TF Serving, shapes are left to the graph. A signature may declare less than the graph accepts, or no shape;
    and where it declares `[-1, 1]`, `[3]` is accepted, as in TF Serving's quickstart.

    Args:
      signature: The signature.
      inputs: The tensors by name.
      limits: The most that each may have; a dimension of 0 counts as 1. None for no limits.

    Raises:
      ServingError: If an input is missing or unknown, does not have the signature's dtype, has no known shape, or has
        too many dimensions or elements.
    """
    expected = signature.definition.inputs
    extra, missing = sorted(set(inputs) - set(expected)), sorted(set(expected) - set(inputs))
    if extra or missing:
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(expected)} "
            f"len({{{','.join(sorted(inputs))}}}) != len({{{','.join(sorted(expected))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
        )
    for position, name in enumerate(signature.feeds):
        dtype, shape = inputs[name].dtype, proto_shape(inputs[name])
        if dtype != expected[name].dtype:
            raise invalid(
                f"Expects arg[{position}] to be {dtype_name(expected[name].dtype)} but {dtype_name(dtype)} is provided "
                f"(input {name})"
            )
        check_rank(name, len(shape))
        if limits is not None:  # for empty tensors, too: the queue counts rows and candidates by the first dimensions
            limits.check(name, dtype, math.prod(size or 1 for size in shape))


def check_filter(signature: Signature, requested: Sequence[str]) -> None:
    """Checks a request's output filter against a signature.

    Raises:
      ServingError: If it names an unknown output, or an output twice.
    """
    for number, name in enumerate(requested):
        if name not in signature.fetches:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(signature.fetches)}}}."
            )
        if name in requested[:number]:
            raise invalid(f"duplicate output tensor alias: {name}")
