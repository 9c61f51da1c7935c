"""Tests that a version that does not load leaves no session open, and of the options of runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from serving.model_server.engine import servable
from serving.model_server.engine.tf_library import Session
from serving.model_server.errors import ServingError
from tests.serving.model_server.tiny_models import push


def test_a_signature_of_a_missing_tensor_leaves_no_session(
    saved: Callable[[float], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = push(saved(1.0), tmp_path / "1")
    model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    model.meta_graphs[0].signature_def["serving_default"].outputs["y"].name = "none:0"
    (path / "saved_model.pb").write_bytes(model.SerializeToString())
    sessions: list[Session] = []

    class Kept(Session):
        def __init__(self, path: str, config: bytes, run_options: bytes) -> None:
            super().__init__(path, config, run_options)
            sessions.append(self)

    monkeypatch.setattr(servable, "Session", Kept)
    with pytest.raises(ServingError, match="Missing: none:0"):
        servable.Servable(str(path), 1)
    (session,) = sessions
    assert session._session is None


def test_a_large_run_has_threads_apart_from_those_of_others() -> None:
    deadline = time.monotonic() + 60
    for is_large in (False, True):
        options = config_pb2.RunOptions.FromString(servable._run_options(deadline, is_large))
        assert 0 < options.timeout_in_ms <= 60_000
        assert options.experimental.use_run_handler_pool is is_large
