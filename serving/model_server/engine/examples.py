"""Classify, Regress and MultiInference: converts tf.Examples to tensors, and outputs to TF Serving's results."""

from __future__ import annotations

from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from serving.model_server.engine.servable import Servable
from serving.model_server.engine.signatures import (
    CLASSIFY_METHOD,
    DEFAULT_SIGNATURE,
    REGRESS_METHOD,
    Signature,
    Tensors,
)
from serving.model_server.engine.tensors import Limits, shape_text
from serving.model_server.errors import invalid

#: The names that TF Serving prescribes for inputs and outputs.
INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"

#: The most bytes that the copies of an ExampleListWithContext's context may take, enough for 10,000 examples with a
#: context of 6 kB. Without this limit a request of 4 MB could take 40 GB.
_MAX_COPIED_BYTES = 64 << 20

#: The most classes in a Classify answer. Each takes the event loop 1.2 to 1.6 us, during which it answers no one else.
MAX_CLASSES = 50_000

#: By method name, its name in TF Serving's error messages.
_KINDS = {CLASSIFY_METHOD: "classification", REGRESS_METHOD: "regression"}

#: The most characters of a signature in an error message.
_MAX_SHOWN = 1000


def to_tensor_proto(request_input: input_pb2.Input, limits: Limits | None = None) -> tensor_pb2.TensorProto:
    """Converts an Input's examples to a string tensor `[batch]`; a context's features are merged into each example.

    Args:
      request_input: The Input.
      limits: The most examples are `max_strings`; None for any number.

    Raises:
      ServingError: If there is no example, there are too many, or the context is too large to copy for each.
    """
    kind = request_input.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        context = request_input.example_list_with_context.context.SerializeToString()
    found = getattr(request_input, kind).examples if kind else ()
    if not found:
        raise invalid("Input is empty.")
    if limits is not None:
        limits.check(INPUTS, types_pb2.DT_STRING, len(found))
    if len(context) * len(found) > _MAX_COPIED_BYTES:
        raise invalid(
            f"a context's bytes times the examples must be at most {_MAX_COPIED_BYTES}, since it is copied for each. "
            f"Received: {len(context)} x {len(found)}"
        )
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    proto.tensor_shape.dim.add(size=len(found))
    # Concatenated serialized messages parse as one message, in which the later one's fields win.
    proto.string_val.extend(context + example.SerializeToString() for example in found)
    return proto


def find_signature(model: Servable, name: str, method: str) -> Signature:
    """Finds the signature of a Classify or Regress request.

    Its inputs and outputs must be the method's. As by TF Serving's default, its method name is not checked, since
    TensorFlow 2 writes Predict's method name to all signatures.

    Args:
      model: The model.
      name: The signature's name; empty for the default.
      method: Classify's or Regress's method name.

    Raises:
      ServingError: If there is no such signature, or its inputs or outputs are not the method's.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in model.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    signature = model.signatures[name]
    inputs, outputs = signature.inputs, signature.outputs
    if len(inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if method == REGRESS_METHOD and len(outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if method == CLASSIFY_METHOD and len(outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(outputs)}")
    definition = str(signature.definition)[:_MAX_SHOWN]
    if INPUTS not in inputs:
        raise invalid(f"No {_KINDS[method]} inputs found in SignatureDef: {definition}")
    if method == REGRESS_METHOD and OUTPUTS not in outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {definition}")
    if method == CLASSIFY_METHOD and not {CLASSES, SCORES} & set(outputs):
        raise invalid(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {definition}"
        )
    return signature


def classification_result(outputs: Tensors, num_examples: int) -> classification_pb2.ClassificationResult:
    """Converts a Classify signature's outputs to a result.

    Raises:
      ServingError: If they do not have the dtype and shape of classes and scores, or have more than `MAX_CLASSES`.
    """
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    for name, proto, dtype in ((CLASSES, classes, types_pb2.DT_STRING), (SCORES, scores, types_pb2.DT_FLOAT)):
        if proto is not None:
            _check_column(name, proto, dtype, num_examples)
    widths = [proto.tensor_shape.dim[1].size for proto in (classes, scores) if proto is not None]
    if len(set(widths)) > 1:
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}")
    width = widths[0]
    if num_examples * width > MAX_CLASSES:
        raise invalid(
            f"the examples of a classification times their classes must be at most {MAX_CLASSES}. "
            f"Received: {num_examples} x {width}"
        )
    result = classification_pb2.ClassificationResult()
    for row in range(num_examples):
        found = result.classifications.add().classes
        for at in range(row * width, (row + 1) * width):
            found.add(
                label=classes.string_val[at].decode(errors="replace") if classes is not None else "",
                score=scores.float_val[at] if scores is not None else 0.0,
            )
    return result


def _check_column(name: str, proto: tensor_pb2.TensorProto, dtype: int, num_examples: int) -> None:
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if len(shape) != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {shape_text(shape)}")
    if proto.dtype != dtype:
        raise invalid(
            f"Expected {name} Tensor of {types_pb2.DataType.Name(dtype)}. Got: {types_pb2.DataType.Name(proto.dtype)}"
        )
    if shape[0] != num_examples:
        raise invalid(f"Expected {name} output batch size of {num_examples}. Got: {shape[0]}")


def regression_result(outputs: Tensors, num_examples: int) -> regression_pb2.RegressionResult:
    """Converts a Regress signature's output to a result.

    Raises:
      ServingError: If it does not have a result's dtype and shape.
    """
    proto = outputs[OUTPUTS]
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {shape_text(shape)}"
        )
    if shape[0] != num_examples:
        raise invalid(f"Input batch size did not match output batch size: {num_examples} vs. {shape[0]}")
    if proto.dtype != types_pb2.DT_FLOAT:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {types_pb2.DataType.Name(proto.dtype)}")
    return regression_pb2.RegressionResult(
        regressions=[regression_pb2.Regression(value=value) for value in proto.float_val]
    )
