"""The table of private uses has all that the code has, at their places, and the documentation has the table."""

from __future__ import annotations

import functools
import re

import pytest

from tests.canaries.__main__ import PAGE
from tests.canaries.scan import ROOT, Use, uses, uses_in
from tests.canaries.table import PRIVATE_USES, TITLES, PrivateUse, page

_FOUND = [use for use in PRIVATE_USES if use.names]
_READ = [use for use in PRIVATE_USES if not use.names]


@functools.cache
def scanned() -> frozenset[Use]:
    return frozenset(uses())


def text_of(place: str) -> str:
    return (ROOT / place).read_text(encoding="utf-8")


def name_of(use: PrivateUse) -> str:
    return f"{use.upstream}-{use.check.__name__}"


def test_every_private_use_is_in_the_table() -> None:
    known = {(place, what) for use in _FOUND for place in use.places for what in use.found_as}
    missing = sorted(use for use in scanned() if use not in known)
    assert missing == [], "add a row to tests/canaries/table.py, or use the package's public API (CONTRIBUTING.md)"


@pytest.mark.parametrize("use", _FOUND, ids=name_of)
def test_a_row_says_no_more_than_the_code_has(use: PrivateUse) -> None:
    found = {(place, what) for place, what in scanned() if place in use.places and what in use.found_as}
    assert {place for place, _ in found} == set(use.places)
    assert {what for _, what in found} == use.found_as


@pytest.mark.parametrize("use", _READ, ids=name_of)
def test_what_reading_found_is_still_there(use: PrivateUse) -> None:
    assert use.marks
    for place in use.places:
        assert [mark for mark in use.marks if mark not in text_of(place)] == [], place


@pytest.mark.parametrize("use", PRIVATE_USES, ids=name_of)
def test_each_place_names_the_version_that_is_locked(use: PrivateUse) -> None:
    locked = dict(re.findall(r"^(\S+)==(\S+)", text_of("requirements.lock"), re.MULTILINE))
    assert use.version == locked[use.package]
    for place in use.places:
        assert f"{TITLES[use.package]} {use.version}" in text_of(place), place


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.canaries --write`"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from tfx.utils import io_utils\nio_utils.copy_dir('a', 'b')", {"tfx.utils.io_utils.copy_dir"}),
        ("from tfx.utils.io_utils import copy_dir", {"tfx.utils.io_utils.copy_dir"}),
        ("from tfx.types import Channel, standard_artifacts\nstandard_artifacts.Model()", set()),
        ("import tensorflow.python.framework.ops as ops\nops.Graph", {"tensorflow.python.framework.ops.Graph"}),
        ("import tensorflow as tf\ntf.Variable(1)", set()),
        ("from tensorflow_model_analysis.metrics.metric_types import MetricKey", set()),
        ("def f(store):\n  return store._call", {"._call"}),
        ("def f(store):\n  return getattr(store, '_call')", {"._call"}),
        ("class A:\n  def _own(self):\n    return self._own", set()),
        ("def f(row):\n  return row._replace(a=1)", set()),
        ("from grpc import _channel", {"grpc._channel"}),
        ("import grpc\ngrpc.aio = None", {"grpc.aio ="}),
        ("import grpc\nsetattr(grpc.aio, 'x', None)", {"grpc.aio ="}),
        ("import sys\nsys.modules['keras'] = None", {"sys.modules ="}),
        ("import sys\n'keras' in sys.modules", set()),
        ("import ctypes\nctypes.CDLL('libc.so')", {"ctypes.CDLL"}),
        ("import ml_metadata\nclass S(ml_metadata.MetadataStore):\n  def _call(self): ...", {"._call"}),
        ("import ml_metadata as m\nclass A(m.MetadataStore): ...\nclass B(A):\n  def _call(self): ...", {"._call"}),
        ("from tfx.orchestration import metadata\nclass M(metadata.Metadata):\n  def f(self):\n    self._users = 2",
         {"tfx.orchestration.metadata.Metadata", "._users"}),
        ("from uvicorn.server import ServerState", {"uvicorn.server.ServerState"}),
        ("import uvicorn\nuvicorn.Config", set()),
    ],
)  # fmt: skip
def test_a_private_use_is_found(source: str, expected: set[str]) -> None:
    assert {use.what for use in uses_in(source, "a.py")} == expected
