"""The client's messages are TensorFlow's on the wire, and can be imported before and after TensorFlow's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2, predict_pb2

from serving.ranking_client import protos
from serving.ranking_client.messages import string_tensor
from tests.serving.ranking_client.running import free_port, process, wait_until_up

ROOT = Path(__file__).parents[3]

_MODULES = (
    any_pb2,
    example_pb2,
    feature_pb2,
    get_model_metadata_pb2,
    meta_graph_pb2,
    model_pb2,
    predict_pb2,
    tensor_pb2,
    tensor_shape_pb2,
    wrappers_pb2,
)


def tensorflows(name: str) -> Descriptor:
    """TensorFlow's, TF Serving's or protobuf's message of a name."""
    if name == "Dim":
        return tensor_shape_pb2.TensorShapeProto.Dim.DESCRIPTOR
    found = [getattr(module, name).DESCRIPTOR for module in _MODULES if hasattr(module, name)]
    return next(descriptor for descriptor in found if descriptor.name == name)


def kind_of(field: FieldDescriptor) -> str:
    if field.type == FieldDescriptor.TYPE_ENUM:
        return "int32"  # the same on the wire
    names = {getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name for name in ("string", "bytes", "int32", "int64")}
    names |= {FieldDescriptor.TYPE_FLOAT: "float", FieldDescriptor.TYPE_BOOL: "bool"}
    return names[field.type] if field.message_type is None else str(field.message_type.name)


@pytest.mark.parametrize("name", protos.MESSAGES)
def test_the_fields_are_tensorflows(name: str) -> None:
    theirs = tensorflows(name).fields_by_name
    for field in protos.MESSAGES[name]:
        other = theirs[field.name]
        is_map = other.message_type is not None and other.message_type.GetOptions().map_entry
        assert (field.number, field.values) == (
            other.number,
            "by name" if is_map else "many" if other.is_repeated else "one",
        )
        if is_map:
            key, value = (other.message_type.fields_by_name[part] for part in ("key", "value"))
            assert (kind_of(key), kind_of(value)) == ("string", field.kind)
        else:
            assert kind_of(other) == field.kind


def test_the_dtypes_are_tensorflows() -> None:
    assert (protos.DT_FLOAT, protos.DT_STRING) == (types_pb2.DT_FLOAT, types_pb2.DT_STRING)


def test_tensorflow_reads_what_the_client_writes() -> None:
    request = protos.PredictRequest(model_spec=protos.ModelSpec(name="m"), output_filter=["scores"])
    request.model_spec.version.value = 3
    request.inputs["ids"].CopyFrom(string_tensor([b"a", b"\xff"], [1, 2]))
    read = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert (read.model_spec.name, read.model_spec.version.value, list(read.output_filter)) == ("m", 3, ["scores"])
    tensor = read.inputs["ids"]
    assert (tensor.dtype, list(tensor.string_val)) == (types_pb2.DT_STRING, [b"a", b"\xff"])
    assert [dim.size for dim in tensor.tensor_shape.dim] == [1, 2]
    assert protos.PredictRequest.FromString(read.SerializeToString()) == request


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the client first", "TensorFlow first"])
def test_the_client_and_tensorflow_are_imported_in_any_order(order: tuple[int, int]) -> None:
    """The protos are TensorFlow's own generated modules; `import tensorflow` imports these, and takes seconds."""
    imports = (
        "import serving.ranking_client",
        "from serving.model_server.protos import import_protos_alone; import_protos_alone(); "
        "from tensorflow_serving.apis import prediction_service_pb2_grpc",
    )
    program = "; ".join([imports[at] for at in order] + ["print('ok')"])
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("ok\n", "")


@pytest.mark.parametrize("options", [(), ("--ui",)], ids=["", "--ui"])
def test_the_ranking_service_does_not_load_tensorflow(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Its pods have 512 MB, which is what the libraries of TensorFlow take."""
    port, log = free_port(), tmp_path / "log"
    command = ["-m", "pipeline.cli", "rank-service", "--server", "127.0.0.1:1", "--model", "m", "--port", str(port)]
    with process([*command, *options], log) as running:
        wait_until_up(running, f"http://127.0.0.1:{port}/health/live", log)
        loaded = Path(f"/proc/{running.pid}/maps").read_text()
    assert "/grpc/" in loaded
    assert "libtensorflow" not in loaded
