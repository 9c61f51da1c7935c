"""Random examples of any config, with values that are hard to handle."""

from __future__ import annotations

import random
from collections.abc import Iterator

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from transform.config.config import Config
from transform.example_keys import FOLD, LABEL, NUM_FOLDS, SHARES_LABEL, SPAN, WEIGHT
from transform.schema import raw_schema

#: Tokens besides those that are frequent: empty, with white space or the end of a line, not UTF-8, of equal counts.
_ODD = (b"", b" ", b" a", b"a\nb", b"\r", b"\xff\xfe", "Zürich".encode(), b"<missing>", b"NA", b"a\x1fb", b"0" * 300)

_NUMBERS = (0.0, -0.0, 1e-42, float("inf"), float("-inf"), 3.4e38, float("nan"), 7.0)


#: Texts of every format of a derived feature, most of which are none of another format.
_TIMES = (b"2026-11-28", b"2026-03-29T01:00Z", b"2026-03-29 02:30:00.5+02:00", b"01-Jan-1995", b"1774746000", b"-0.5")


def random_examples(config: Config, span: int, number: int, seed: int) -> Iterator[bytes]:
    """Draws serialized examples of a span."""
    rng = random.Random(seed)
    schema = raw_schema(config)
    derived = {feature.name for feature in config.spec.features if feature.derive is not None}
    for _ in range(number):
        example = tf.train.Example()
        for feature in schema.feature:
            _fill(example.features.feature[feature.name], feature, span, rng)
            if feature.name in derived and rng.random() < 0.8:
                times = tf.train.BytesList(value=[rng.choice(_TIMES)])
                example.features.feature[feature.name].CopyFrom(tf.train.Feature(bytes_list=times))
        serialized: bytes = example.SerializeToString()
        yield serialized


def _fill(value: tf.train.Feature, feature: schema_pb2.Feature, span: int, rng: random.Random) -> None:
    fixed = {
        LABEL: rng.randrange(2),
        SPAN: span,
        FOLD: rng.randrange(NUM_FOLDS),
        SHARES_LABEL: rng.randrange(2),
    }
    if feature.name in fixed:
        value.int64_list.value.append(fixed[feature.name])
    elif feature.name == WEIGHT:
        value.float_list.value.append(rng.random())
    elif feature.type == schema_pb2.INT:
        value.int64_list.value.append(rng.randrange(10**6))
    elif rng.random() < 0.1:
        return  # no value
    elif feature.type == schema_pb2.FLOAT:
        value.float_list.value.append(rng.choice(_NUMBERS) if rng.random() < 0.05 else rng.lognormvariate(0, 3))
    else:
        is_list = feature.value_count.max != 1
        value.bytes_list.value.extend(_token(rng) for _ in range(rng.randrange(5) if is_list else 1))


def _token(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return rng.choice(_ODD)
    return b"t%d" % int(rng.paretovariate(0.7))
