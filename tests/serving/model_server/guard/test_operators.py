"""Tests that only operators may change which models are served."""

from __future__ import annotations

from pathlib import Path

import grpc
import httpx
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from serving.model_server.guard.auth import is_loopback
from tests.serving.model_server.operator_calls import ANY, FORBIDDEN, bearer, failed, reload
from tests.serving.model_server.requests import refusal
from tests.serving.model_server.running import Server, running
from tests.serving.model_server.tiny_models import MODEL, x_request

Code = grpc.StatusCode


def status(stub: model_service_pb2_grpc.ModelServiceStub) -> int:
    """The number of the served version."""
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": MODEL})
    (version,) = stub.GetModelStatus(asked).model_version_status
    return int(version.version)


def serves_renamed(server: Server) -> bool:
    return server.rest.get("/v1/models/renamed").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_what_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "::ffff:10.0.0.1"])
def test_what_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_at_a_port_that_others_reach_nobody_changes_the_configuration_but_at_the_admin_port(models: Path) -> None:
    with running("--models", models, *ANY, "--admin-port", "0") as server:
        assert refusal(server.models.HandleReloadConfigRequest, reload(models)) == FORBIDDEN
        assert not serves_renamed(server)
        assert status(server.models) == 123
        assert server.rest.get("/metrics").status_code == 200
        with grpc.insecure_channel(f"127.0.0.1:{server.log[0]['admin_port']}") as channel:
            admin = model_service_pb2_grpc.ModelServiceStub(channel)
            assert status(admin) == 123
            assert admin.HandleReloadConfigRequest(reload(models)).status.error_code == 0
            predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert refusal(predictions.Predict, x_request([1.0]))[0] is Code.UNIMPLEMENTED
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            (reported,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            names = {found.name for found in reported.list_services_response.service if "tensorflow" in found.name}
            assert names == {"tensorflow.serving.ModelService"}
        assert serves_renamed(server)


def test_the_operators_token_is_not_the_callers(models: Path, tmp_path: Path) -> None:
    (tmp_path / "callers").write_text("sesame\n", encoding="ascii")
    (tmp_path / "operators").write_text("master\n", encoding="ascii")
    tokens = ("--token-file", tmp_path / "callers", "--operator-token-file", tmp_path / "operators")
    admin_port = ("--admin-host", "0.0.0.0", "--admin-port", "0")
    with running("--models", models, *ANY, *tokens, *admin_port, headers={"authorization": "Bearer master"}) as server:
        reloading = server.models.HandleReloadConfigRequest
        for wrong in ((), bearer("open")):
            assert refusal(reloading, reload(models), metadata=wrong)[0] is Code.UNAUTHENTICATED
        assert refusal(reloading, reload(models), metadata=bearer("sesame")) == FORBIDDEN
        with grpc.insecure_channel(f"127.0.0.1:{server.log[0]['admin_port']}") as channel:
            admin = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
            assert refusal(admin, reload(models), metadata=bearer("sesame")) == FORBIDDEN
        assert not serves_renamed(server)
        assert reloading(reload(models), metadata=bearer("master")).status.error_code == 0
        assert serves_renamed(server)
        for token in ("sesame", "master"):
            assert server.predictions.Predict(x_request([1.0]), metadata=bearer(token)).outputs["y"].float_val[0] == 3.5
            page = httpx.get(f"{server.rest.base_url}/metrics", headers={"authorization": f"Bearer {token}"})
            assert page.status_code == 200


def test_one_token_for_both_is_refused(models: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("sesame", encoding="ascii")
    (tmp_path / "b").write_text("sesame\n", encoding="ascii")
    assert failed("--models", models, "--token-file", tmp_path / "a", "--operator-token-file", tmp_path / "b") == (
        "Error: the operator's token must differ from the callers'. Received: the same token in both files"
    )


def test_an_admin_port_that_others_reach_needs_a_token(models: Path) -> None:
    assert failed("--models", models, "--admin-port", "0", "--admin-host", "0.0.0.0") == (
        "Error: the admin port must be bound to loopback, or `--operator-token-file` be given. "
        "Received: `--admin-host 0.0.0.0`"
    )


def test_an_admin_port_that_is_taken_is_told(server: Server, models: Path) -> None:
    error = failed("--models", models, "--admin-port", str(server.grpc_port))
    assert error.startswith(f"Error: the admin port must be free. Received: 127.0.0.1:{server.grpc_port}: ")
