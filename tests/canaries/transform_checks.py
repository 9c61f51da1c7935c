"""Checks of what Transform's executor relies on in tf.Transform and tfx-bsl; each raises an error if it is gone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import analyzer_nodes, analyzers, annotators, graph_tools, impl_helper, tf_utils
from tensorflow_transform.tf_metadata import metadata_io
from tfx_bsl import sketches

from components.transform_executor.token_counts import EMPTY_VOCABULARY
from components.transform_executor.traced_graph import Combined, Vocabulary, traced

_SPECS = {
    "city": tf.SparseTensorSpec([None, None], tf.string),
    "price": tf.SparseTensorSpec([None, None], tf.float32),
}


def _preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    vocabulary = tft.vocabulary(
        inputs["city"], top_k=3, frequency_threshold=2, vocab_filename="cities", reserved_tokens=[b"a"], name="v"
    )
    boundaries = tft.quantiles(inputs["price"].values, 4, epsilon=0.01, name="q")
    return {
        "ids": tft.apply_vocabulary(inputs["city"], vocabulary, name="l"),
        "bucket": tft.apply_buckets(inputs["price"], boundaries),
        "mean": tft.mean(inputs["price"].values, name="m"),
    }


def check_analyzers() -> None:
    """The traced graph's analyzers are operations from tensors to results, with the settings of `tft.vocabulary`."""
    with tempfile.TemporaryDirectory() as folder:
        graph = traced(_preprocessing_fn, _SPECS, folder)
    ((vocabulary, quantiles, moments),) = graph.phases
    assert isinstance(vocabulary, Vocabulary)
    assert isinstance(quantiles, Combined)
    assert (vocabulary.file_name, vocabulary.pruning.max_size, vocabulary.pruning.min_count) == ("cities", 3, 2)
    assert vocabulary.reserved == tuple(tf_utils.fetch_vocabulary_reserved_tokens(graph.graph, "cities")) == (b"a",)
    assert len(vocabulary.filtered_size) == len(vocabulary.unfiltered_size) == 1
    assert isinstance(quantiles.combiner, analyzers.QuantilesCombiner)
    assert isinstance(moments, Combined)
    assert isinstance(moments.combiner, analyzers.WeightedMeanAndVarCombiner)
    assert moments.combiner.create_accumulator()._fields == ("count", "mean", "variance", "weight")
    sinks = graph.graph.get_collection(analyzer_nodes.TENSOR_REPLACEMENTS)
    assert len(sinks) == 6
    assert set(graph_tools.get_analyzers_fingerprint(graph.graph, graph.inputs)) == {s.tensor.name for s in sinks}
    assert annotators.get_asset_annotations(graph.graph) == {"cities": "cities"}
    assert analyzers.get_empy_vocabulary_dummy_value(tf.string) == (1, EMPTY_VOCABULARY)


def check_saved_transform() -> None:
    """A function without analyzers is traced and saved, with its outputs' schema in a folder of the SavedModel."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved"
        impl_helper.trace_and_write_v2_saved_model(
            str(saved), lambda inputs: {"x": inputs["price"]}, _SPECS, folder, {}, {}, {}, None
        )
        metadata = metadata_io.read_metadata(str(saved / impl_helper.METADATA_DIR_NAME))
        metadata_io.write_metadata(metadata, str(Path(folder) / "written"))
        assert (Path(folder) / "written" / "schema.pbtxt").is_file()
    assert [feature.name for feature in metadata.schema.feature] == ["x"]


def check_sketch() -> None:
    """A sketch's state is bytes, from which it is made again."""
    sketch = sketches.QuantilesSketch(0.01, 1 << 32, 1)
    state = sketch.__getstate__()
    again = sketches.QuantilesSketch.__new__(sketches.QuantilesSketch)
    again.__setstate__(state)
    assert isinstance(state, bytes)
    assert again.__getstate__() == state
