"""What statistics find in one file of examples, as a state in a file; states are merged in the order of their files."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from tensorflow_data_validation import FeaturePath

# TFDV 1.21.0 and tfx-bsl 1.21.0 have no public names for these: docs/reference/private_uses.md
from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
from tensorflow_data_validation.utils.variance_util import MeanVarAccumulator
from tfx_bsl.sketches import QuantilesSketch

from components import storage
from components.statistics.value_counts import CountsState, ValueCounts
from transform.errors import InputError

#: In the metadata of a state's file: TFDV's accumulator. In those of each of its batches: the feature, and its sketch.
_BASIC, _FEATURE, _SKETCH = b"basic", b"feature", b"sketch"

#: The modules whose classes an accumulator has.
_MODULES = frozenset(
    known.__module__ for known in (BasicStatsGenerator, FeaturePath, MeanVarAccumulator, QuantilesSketch)
)

#: How numbers of numpy are pickled.
_NUMBERS = frozenset({("numpy._core.multiarray", "scalar"), ("numpy", "dtype")})


@dataclasses.dataclass(frozen=True)
class State:
    """What was found in some examples.

    Attributes:
      basic: TFDV's accumulator of the basic statistics, compacted.
      counts: The values of each feature whose values are counted.
    """

    basic: Any
    counts: Mapping[str, ValueCounts]


@contextlib.contextmanager
def named(file: str) -> Iterator[None]:
    """Converts the errors of tfx-bsl and TFDV about examples to InputError with the file of the examples."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        rule = "examples must be tf.Examples, and a feature of one type in all"
        raise InputError(f"{rule}: {' '.join(str(error).split())} ({file})") from error


def write(state: State, file: str) -> None:
    """Writes a state as an Arrow file: a batch for each counted feature, and the accumulator in the metadata."""
    schema = CountsState.SCHEMA.with_metadata({_BASIC: pickle.dumps(state.basic)})
    content = pa.BufferOutputStream()
    with pa.ipc.new_file(content, schema) as writer:
        for name, counts in sorted(state.counts.items()):
            found = counts.state()
            metadata = {_FEATURE: name.encode()} | ({} if found.sketch is None else {_SKETCH: found.sketch})
            writer.write_batch(found.values, custom_metadata=metadata)
    storage.write_bytes(file, content.getvalue().to_pybytes())


def read_merged(generator: BasicStatsGenerator, files: Mapping[str, str], max_values: int) -> State:
    """Reads the states of files of examples, and merges them.

    Args:
      generator: The generator of the accumulators.
      files: The file of the state of each file of examples, in the order in which they are merged.
      max_values: The distinct values of a feature that are counted exactly.

    Raises:
      InputError: If a feature has values of two types.
    """
    basic = generator.create_accumulator()
    counts: dict[str, ValueCounts] = {}
    for examples, file in files.items():
        with storage.open_bytes(file) as stream, pa.ipc.open_file(stream) as reader:
            of_file = _Accumulator(io.BytesIO(reader.schema.metadata[_BASIC])).load()
            with named(examples):
                basic = generator.merge_accumulators([basic, of_file])
            for at in range(reader.num_record_batches):
                values, metadata = reader.get_batch_with_custom_metadata(at)
                of_feature = counts.setdefault(metadata[_FEATURE].decode(), ValueCounts(max_values))
                of_feature.add_state(CountsState(values, metadata.get(_SKETCH)))
    return State(basic, counts)


class _Accumulator(pickle.Unpickler):
    """Loads an accumulator, and nothing but the classes that it has: TFDV has no other way to store one."""

    def find_class(self, module: str, name: str) -> Any:
        is_number = (module, name) in _NUMBERS
        if is_number or (module in _MODULES and "." not in name):
            found = super().find_class(module, name)
            if is_number or isinstance(found, type):
                return found
        raise pickle.UnpicklingError(f"a state must have accumulators of statistics alone. Received: {module}.{name}")
