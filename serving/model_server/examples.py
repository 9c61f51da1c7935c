"""Classify, Regress and MultiInference: tf.Examples in, TF Serving's results out."""

from __future__ import annotations

from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from serving.model_server.errors import invalid
from serving.model_server.servable import (
    CLASSIFY_METHOD,
    DEFAULT_SIGNATURE,
    REGRESS_METHOD,
    Servable,
    Signature,
    Tensors,
)
from serving.model_server.tensors import dtype_name

#: TF Serving's own names of inputs and outputs.
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"

#: Of an ExampleListWithContext: 10,000 examples with a context of 6 kB. Four megabytes of request could ask for 40 GB.
_MAX_COPIED_BYTES = 64 << 20

#: By method name, what TF Serving's errors call it.
_KINDS = {CLASSIFY_METHOD: "classification", REGRESS_METHOD: "regression"}


def to_tensor_proto(request_input: input_pb2.Input, max_examples: int | None = None) -> tensor_pb2.TensorProto:
    """An Input's examples as a string tensor `[batch]`; a context's features come before each example's own.

    Args:
      request_input: The Input.
      max_examples: The most that it may have.

    Raises:
      ServingError: If there is no example, there are too many, or too large a context to copy for each.
    """
    kind = request_input.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        context = request_input.example_list_with_context.context.SerializeToString()
    found = getattr(request_input, kind).examples if kind else ()
    if not found:
        raise invalid("Input is empty.")
    if max_examples is not None and len(found) > max_examples:
        raise invalid(
            f"input {INPUTS} must have at most {max_examples} elements, such as candidates. Received: {len(found)}"
        )
    if len(context) * len(found) > _MAX_COPIED_BYTES:
        raise invalid(
            f"a context's bytes times the examples must be at most {_MAX_COPIED_BYTES}, since it is copied for each. "
            f"Received: {len(context)} x {len(found)}"
        )
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    proto.tensor_shape.dim.add(size=len(found))
    # Serialized messages behind each other are parsed as one in which the later one's fields win.
    proto.string_val.extend(context + example.SerializeToString() for example in found)
    return proto


def find_signature(servable: Servable, name: str, method: str) -> Signature:
    """A Classify or Regress request's signature.

    Args:
      servable: The model.
      name: The signature; empty for the default.
      method: The method name that it must have.

    Raises:
      ServingError: If there is no such signature, or it does something else.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    signature = servable.signatures[name]
    if signature.definition.method_name != method:
        raise invalid(
            f"Expected {_KINDS[method]} signature method_name to be {method}. Was: {signature.definition.method_name}"
        )
    if list(signature.feeds) != [INPUTS]:
        raise invalid(f"Expected one input Tensor, `{INPUTS}`. Found: {', '.join(signature.feeds)}")
    return signature


def classification_result(outputs: Tensors, num_examples: int) -> classification_pb2.ClassificationResult:
    """What a `classify` signature's outputs say.

    Raises:
      ServingError: If they are not of the dtype and shape of classes and scores.
    """
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    if classes is None and scores is None:
        raise invalid(f"Expected classification signature outputs to contain at least one of {CLASSES} or {SCORES}.")
    for name, proto, dtype in ((CLASSES, classes, types_pb2.DT_STRING), (SCORES, scores, types_pb2.DT_FLOAT)):
        if proto is not None:
            _check(name, proto, dtype, num_examples, ranks=(2,))
    num_classes = {proto.tensor_shape.dim[1].size for proto in (classes, scores) if proto is not None}
    if len(num_classes) > 1:
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {sorted(num_classes)}")
    (width,) = num_classes
    result = classification_pb2.ClassificationResult()
    for row in range(num_examples):
        found = result.classifications.add().classes
        for at in range(row * width, (row + 1) * width):
            found.add(
                label=classes.string_val[at].decode(errors="replace") if classes is not None else "",
                score=scores.float_val[at] if scores is not None else 0.0,
            )
    return result


def regression_result(outputs: Tensors, num_examples: int) -> regression_pb2.RegressionResult:
    """What a `regress` signature's output says.

    Raises:
      ServingError: If it is not of a result's dtype and shape.
    """
    if list(outputs) != [OUTPUTS]:
        raise invalid(f"Expected one output Tensor, `{OUTPUTS}`. Found: {', '.join(outputs)}")
    proto = outputs[OUTPUTS]
    _check(OUTPUTS, proto, types_pb2.DT_FLOAT, num_examples, ranks=(1, 2))
    return regression_pb2.RegressionResult(
        regressions=[regression_pb2.Regression(value=value) for value in proto.float_val]
    )


def _check(name: str, proto: tensor_pb2.TensorProto, dtype: int, num_examples: int, ranks: tuple[int, ...]) -> None:
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.dtype != dtype:
        raise invalid(f"Expected {name} Tensor of {dtype_name(dtype)}. Got: {dtype_name(proto.dtype)}")
    if len(shape) not in ranks or (ranks == (1, 2) and shape[1:] not in ([], [1])):
        expected = "[batch_size num_classes]" if ranks == (2,) else "either [batch_size] or [batch_size, 1]"
        raise invalid(f"Expected {name} Tensor shape to be {expected} but got {shape}")
    if shape[0] != num_examples:
        raise invalid(f"Expected {name} output batch size of {num_examples}. Got: {shape[0]}")
