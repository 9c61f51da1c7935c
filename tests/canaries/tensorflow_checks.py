"""Checks of what is relied on in TensorFlow, Keras, tf.Transform and KerasTuner; each raises an error if it is gone."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import wrap_function
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import tf2_utils
from tensorflow_transform.tf_metadata import schema_utils
from tfx_bsl.coders import example_coder

from components.evaluation.scoring.scoring_graph import ScoringGraph
from components.push.warmup import list_signatures
from serving.model_server.engine import servable, tf_library
from trainer.optimizers import RowwiseAdagrad, RowwiseAdam
from trainer.transform_output.graph import pruned


def check_pruned() -> None:
    """A saved function is reduced to some of its outputs, without the ops of the others."""
    spec = {"price": tf.SparseTensorSpec([None, None], tf.float32), "country": tf.TensorSpec([None], tf.string)}

    @tf.function(input_signature=[spec])  # type: ignore[untyped-decorator]
    def whole(features: Any) -> Any:
        return {"cheap": features["price"].values < 2.0, "length": tf.strings.length(features["country"])}

    part = pruned(_loaded(whole), {"length"})
    assert isinstance(part, wrap_function.WrappedFunction)
    assert list(part.structured_outputs) == ["length"]
    assert "Less" not in {op.type for op in part.graph.get_operations()}
    price = tf.SparseTensor(np.zeros([0, 2], np.int64), tf.zeros([0]), [2, 0])
    inputs = tf.nest.flatten({"price": price, "country": tf.constant(["de", "usa"])}, expand_composites=True)
    assert part(*inputs)["length"].numpy().tolist() == [2, 3]


def _loaded(function: Any) -> Any:
    """A function after it was saved and loaded, as tf.Transform's is."""
    module = tf.Module()
    module.function = function
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=None)
        loaded = tf.saved_model.load(folder)
        concrete = loaded.function.concrete_functions[0]
    return concrete


def check_strip() -> None:
    """Of composite and plain tensors, tf.Transform separates the tensors from the control dependencies."""
    with tf.Graph().as_default():
        tensor = tf.constant([1])
        found, dependencies = tf2_utils.strip_and_get_tensors_and_control_dependencies([tensor])
    assert [t.name for t in found] == [tensor.name]
    assert list(dependencies) == []


def check_feature_spec() -> None:
    schema = schema_pb2.Schema()
    schema.feature.add(name="price", type=schema_pb2.FLOAT)
    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    assert spec == {"price": tf.io.VarLenFeature(tf.float32)}


def check_legacy_optimizers() -> None:
    """Slots are there before the first step; a sparse gradient reaches our hook, with the hyperparameters by name."""
    for optimizer, slots in (
        (RowwiseAdam(0.1), ["m", "v"]),
        (RowwiseAdagrad(0.1, 0.1), ["accumulator"]),
        (tf_keras.optimizers.legacy.Ftrl(0.1), ["accumulator", "linear"]),
    ):
        table = tf.Variable([[1.0], [1.0]])
        optimizer._create_all_weights([table])
        assert sorted(optimizer.get_slot_names()) == slots
        assert [optimizer.get_slot(table, name).shape for name in slots] == [[2, 1]] * len(slots)
        gradient = tf.IndexedSlices(tf.constant([[1.0]]), tf.constant([1]), dense_shape=tf.constant([2, 1]))
        optimizer.apply_gradients([(gradient, table)])
        untouched, touched = table.numpy()[:, 0]
        assert (untouched, touched < 1.0) == (1.0, True)
    legacy = tf_keras.optimizers.legacy
    for base, names in (
        (legacy.Adam, {"beta_1_t", "one_minus_beta_1_t", "beta_2_t", "one_minus_beta_2_t", "lr"}),
        (legacy.Adagrad, {"lr_t"}),
    ):
        optimizer = base(0.1)
        optimizer._create_all_weights([tf.Variable([1.0])])
        assert set(optimizer._fallback_apply_state("/cpu:0", tf.float32)) >= names | {"epsilon"}
        inspect.signature(base._resource_apply_sparse).bind("self", "grad", "var", "indices", apply_state=None)


def check_c_library() -> None:
    """The library has all functions, and makes a tensor from a proto."""
    loaded = tf_library.library()
    assert all(getattr(loaded, name) for name in tf_library._SIGNATURES)
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.5, 2.5])
    proto.tensor_shape.dim.add(size=2)
    made = servable.to_tensor(proto)
    assert (made.dtype, made.shape, np.frombuffer(made.raw, np.float32).tolist()) == (1, (2,), [1.5, 2.5])


def check_strings() -> None:
    """A string takes 24 bytes: up to 22 characters are stored in them, behind their number times four."""
    values = [b"", b"de", b"x" * 22, b"x" * 23, b"x" * 5000]
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
    proto.tensor_shape.dim.add(size=len(values))
    made = servable.to_tensor(proto)
    raw = made.raw
    assert len(raw) == 24 * len(values)
    for at, value in enumerate(values):
        record = raw[24 * at : 24 * (at + 1)]
        if len(value) <= 22:
            assert record[: 1 + len(value)] == bytes([4 * len(value)]) + value
        else:
            assert record[0] & 3 == 1  # stored elsewhere
    assert servable.to_proto(made).string_val == values


def check_saved_model() -> None:
    """A SavedModel's file lists the operation of its initialization among the signatures; it fills the tables."""
    module = tf.Module()
    module.weight = tf.Variable(3.0)
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [2.0]), default_value=0.0)
    examples = tf.TensorSpec([None], tf.string, name="examples")
    module.serve = tf.function(lambda x: {"scores": module.table.lookup(x) * module.weight}, input_signature=[examples])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        saved = saved_model_pb2.SavedModel.FromString(Path(folder, "saved_model.pb").read_bytes())
        (graph,) = saved.meta_graphs
        assert sorted(graph.signature_def) == [servable._INIT_SIGNATURE, "serving_default"]
        assert sorted(list_signatures(folder)) == ["serving_default"]
        assert ScoringGraph(folder)(np.array([b"a", b"b"], object)).tolist() == [6.0, 0.0]


_PROTOS_ALONE = """
import sys
from serving.model_server.protos import import_protos_alone
import_protos_alone()
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_log_pb2
request = predict_pb2.PredictRequest()
request.inputs["x"].string_val.append(b"a")
assert not [name for name in sys.modules if name.startswith("tensorflow.python")]
"""


def check_protos_alone() -> None:
    """TensorFlow's protos can be imported without TensorFlow."""
    subprocess.run([sys.executable, "-c", _PROTOS_ALONE], check=True, timeout=120)


def _init_of_tensorflow() -> bytes:
    return Path(inspect.getfile(tf)).read_bytes()


def check_import_without_keras() -> None:
    """TensorFlow's `__init__` imports Keras in one place, and goes on where there is none."""
    tree = ast.parse(_init_of_tensorflow())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and "ImportError" in ast.unparse(node.handlers[0].type or ast.Constant(""))
        for inner in ast.walk(node)
    }
    imports = [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import | ast.ImportFrom) or "import_module(" in _call(node))
        and "keras" in ast.unparse(node)
        and "lazy" not in ast.unparse(node).lower()
    ]
    assert imports
    assert [ast.unparse(node) for node in imports if id(node) not in guarded] == []


def _call(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Call) else ""


def check_example_decoder() -> None:
    """Serialized examples are decoded by a schema to a record batch of lists."""
    schema = schema_pb2.Schema()
    schema.feature.add(name="price", type=schema_pb2.FLOAT)
    example = tf.train.Example()
    example.features.feature["price"].float_list.value.append(1.5)
    decoder = example_coder.ExamplesToRecordBatchDecoder(schema.SerializeToString())
    batch = decoder.DecodeBatch([example.SerializeToString()])
    assert batch.to_pydict() == {"price": [[1.5]]}


def check_failed_trial() -> None:
    """A trial that failed has the traceback as its message, whose last line is the error's class and text."""

    class Search(keras_tuner.engine.base_tuner.BaseTuner):  # type: ignore[misc]
        def run_trial(self, trial: Any) -> float:
            raise keras_tuner.errors.FailedTrialError("the loss is not finite")

    space = keras_tuner.HyperParameters()
    space.Choice("units", [1, 2])
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("auc", "max"),
        max_trials=1,
        hyperparameters=space,
        max_consecutive_failed_trials=2,
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda *_, **__: None)
        search = Search(oracle, directory=folder, project_name="search")
        search.search()
    (trial,) = search.oracle.trials.values()
    assert trial.message.splitlines()[-1].partition(": ")[2] == "the loss is not finite"
