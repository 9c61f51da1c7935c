"""A loaded version of a model: its signatures, and what they compute."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence

import grpc
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving.model_server.errors import ServingError, invalid
from serving.model_server.parsing_specs import ParsingSpecs
from serving.model_server.tensors import dtype_name, element_bytes, proto_shape, to_proto, to_tensor
from serving.model_server.tf_library import Output, Session, start_threads
from serving.model_server.wire import MAX_RANK

#: TF Serving's own names, `tensorflow/cc/saved_model/signature_constants.h`.
DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

#: What a SavedModel does once when it is loaded; in its signatures, but none.
_INIT_SIGNATURE = "__saved_model_init_op"

#: A load's operations are all done by the thread that loads, and stay at its low priority; a request's are spread over
#: the threads that all sessions share: on two cores, 200 candidates are ranked in 2.6 to 4.0 ms, else in 4.1 ms.
_IN_THIS_THREAD = config_pb2.RunOptions(inter_op_thread_pool=-1).SerializeToString()

Tensors = dict[str, tensor_pb2.TensorProto]

_MAX_INT64 = (1 << 63) - 1

#: TensorFlow counts a time limit in microseconds of 64 bits.
_MAX_MILLISECONDS = (1 << 63) // 1000 - 1


def session_config(num_threads: int) -> bytes:
    """The configuration of all sessions.

    Args:
      num_threads: How many threads a run is spread over; they are there once, for all models.
    """
    config = config_pb2.ConfigProto(intra_op_parallelism_threads=num_threads, inter_op_parallelism_threads=num_threads)
    serialized: bytes = config.SerializeToString()
    return serialized


def start(num_threads: int) -> None:
    """Starts what all models share; first of all, and from a thread of normal priority."""
    start_threads(session_config(num_threads))


@dataclasses.dataclass(frozen=True)
class Signature:
    """One of a model's signatures.

    Attributes:
      name: Its name.
      definition: Its SignatureDef: method name, and dtype and shape of inputs and outputs.
      feeds: Where in the graph each input goes, by name, sorted.
      fetches: Where each output comes from, by name, sorted.
      float_features: Of tf.Examples, the features that it parses as floats.
    """

    name: str
    definition: meta_graph_pb2.SignatureDef
    feeds: Mapping[str, Output]
    fetches: Mapping[str, Output]
    float_features: frozenset[str] = frozenset()


class Servable:
    """A loaded SavedModel. `run` may be called from any number of threads at once."""

    def __init__(self, path: str, num_threads: int) -> None:
        """Loads it.

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
        except BaseException:  # such as a signature that names what the graph does not have
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
        wanted: Sequence[str] = (),
        *,
        deadline: float | None = None,
    ) -> Tensors:
        """Computes a signature's outputs.

        All of them are computed, as TensorFlow would plan a run anew, and keep the plan, for each set of outputs that a
        client can think of.

        Args:
          signature: One of `signatures`.
          inputs: A tensor for each of its inputs, held against it by `check_inputs`.
          wanted: The outputs to give; none for all.
          deadline: On `time.monotonic`'s clock, when TensorFlow stops computing. None is for warm-up: it computes for
            as long as it takes, and in this thread alone, off the threads that requests are computed in.

        Raises:
          ServingError: If the model refuses the inputs, the deadline passes, or `cancel` was called.
        """
        tensors = [to_tensor(inputs[name]) for name in signature.feeds]
        options = _IN_THIS_THREAD if deadline is None else _until(deadline)
        outputs = self._session.run(list(signature.feeds.values()), tensors, list(signature.fetches.values()), options)
        found = zip(signature.fetches, outputs, strict=True)
        return {name: to_proto(tensor) for name, tensor in found if not wanted or name in wanted}

    def cancel(self) -> None:
        """Ends what runs, by an error, and refuses what would run from now on."""
        self._session.cancel()

    def close(self) -> None:
        """Frees its memory; nothing may run any more."""
        self._session.close()


def _until(deadline: float) -> bytes:
    """A serialized RunOptions: in all threads, until a time on `time.monotonic`'s clock, at least 1 ms from now.

    TensorFlow has no shorter time: 0 would be no limit.
    """
    milliseconds = max(1, math.ceil(1000 * (deadline - time.monotonic())))
    serialized: bytes = config_pb2.RunOptions(timeout_in_ms=min(milliseconds, _MAX_MILLISECONDS)).SerializeToString()
    return serialized


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an input tensor may have at most, by what its elements cost.

    A string may stand for a candidate or a whole tf.Example. A number costs the bytes that it takes, also where a
    request has one for all elements: an image has many.

    Attributes:
      max_strings: Of strings, the number.
      max_bytes: Of numbers and booleans, the bytes of the tensor.
    """

    max_strings: int
    max_bytes: int

    def check(self, name: str, dtype: int, num_elements: int) -> None:
        """Holds an input against it.

        Raises:
          ServingError: If it is more.
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
    """Holds an input's number of dimensions against TensorFlow's bound.

    Raises:
      ServingError: If it is more.
    """
    if rank > MAX_RANK:
        raise invalid(f"input {name} must have at most {MAX_RANK} dimensions. Received: {rank}")


def _written(number: int) -> str:
    """A number for an error's text; a shape's product may have more digits than Python writes."""
    return str(number) if number <= _MAX_INT64 else f"more than {_MAX_INT64}"


def find_signature(servable: Servable, name: str) -> Signature:
    """A Predict request's signature.

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
    """Holds a request's tensors against a signature, their names and dtypes, and against limits.

    As in TF Serving, a shape is the graph's own business: a signature may say less than the graph takes, such as
    nothing, and `[3]` is taken where it says `[-1, 1]`, as by TF Serving's quickstart.

    Args:
      signature: The signature.
      inputs: By name.
      limits: What one of them may have at most; a size of 0 counts as one of 1.

    Raises:
      ServingError: If an input is missing or too many, or one is not of the signature's dtype, has no known shape, or
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
        if limits is not None:  # of an empty tensor too: the queue counts the rows and candidates of its first sizes
            limits.check(name, dtype, math.prod(size or 1 for size in shape))


def check_filter(signature: Signature, wanted: Sequence[str]) -> None:
    """Holds a request's output filter against a signature.

    Raises:
      ServingError: If it names what is no output, or an output twice.
    """
    for number, name in enumerate(wanted):
        if name not in signature.fetches:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(signature.fetches)}}}."
            )
        if name in wanted[:number]:
            raise invalid(f"duplicate output tensor alias: {name}")
