"""Tests of operations: health, metrics, logs, reflection, TLS and a token, options, and graceful shutdown."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from serving.model_server.protocol.rest_server import listen
from tests.serving.model_server.requests import Hold, refusal, request
from tests.serving.model_server.running import Server, running
from tests.serving.model_server.tiny_models import MODEL, x_request

PREDICT = f"/v1/models/{MODEL}:predict"
BODY = '{"instances": [1.0]}'


def health(server: Server, service: str) -> int:
    answer = health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


def test_health(server: Server) -> None:
    for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        assert health(server, service) == health_pb2.HealthCheckResponse.SERVING
    assert (server.rest.get("/healthz").status_code, server.rest.get("/readyz").status_code) == (200, 200)


def test_a_server_without_a_version_is_alive_but_not_ready(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with running("--models", tmp_path, ready=False) as server:
        assert health(server, "") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (server.rest.get("/healthz").status_code, server.rest.get("/readyz").status_code) == (200, 503)
        code, message = refusal(server.predictions.Predict, x_request([1.0], "empty"))
        assert (code, message) == (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(empty)")


def test_metrics(models: Path) -> None:
    with running("--models", models) as server:
        for _ in range(3):
            server.predictions.Predict(x_request([1.0]))
        server.rest.post(PREDICT, content=BODY)
        server.rest.post("/v1/models/no:predict", content=BODY)
        refusal(server.predictions.Predict, request("no"))
        server.rest.post(f"/v1/models/{MODEL}/versions/7:predict", content=BODY)
        page = server.rest.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    values = dict(line.rsplit(" ", 1) for line in page.text.splitlines() if not line.startswith("#"))
    ours = f'model="{MODEL}"'

    def count(code: str, model: str, protocol: str, signature: str, version: str) -> str:
        labels = (
            f'code="{code}",method="Predict",model="{model}",protocol="{protocol}",signature="{signature}",'
            f'version="{version}"'
        )
        return values[f"wdr_requests_total{{{labels}}}"]

    assert count("OK", MODEL, "grpc", "serving_default", "123") == "3.0"
    assert count("OK", MODEL, "rest", "serving_default", "123") == "1.0"
    assert count("NOT_FOUND", "", "rest", "", "") == "1.0"
    assert count("NOT_FOUND", MODEL, "rest", "", "") == "1.0"
    assert count("FAILED_PRECONDITION", MODEL, "grpc", "", "123") == "1.0"
    assert values[f'wdr_loaded{{{ours},version="123"}}'] == "1.0"
    assert float(values[f'wdr_version_age_seconds{{{ours},version="123"}}']) > 0
    assert values["wdr_waiting_requests"] == "0.0"
    served = f'method="Predict",{ours},protocol="grpc",signature="serving_default"'
    assert values[f"wdr_request_seconds_count{{{served}}}"] == "3.0"
    assert values[f'wdr_request_seconds_bucket{{le="+Inf",{served}}}'] == "3.0"


def test_requests_that_are_refused_before_they_are_parsed_are_counted(models: Path, tmp_path: Path) -> None:
    """A name that no model has is not a label, since each would make a series."""
    (tmp_path / "token").write_text("secret\n")
    options = ("--token-file", tmp_path / "token", "--max-message-bytes", "100", "--timeout-seconds", "1")
    with running("--models", models, *options) as server:
        server.rest.post(PREDICT, content=BODY)
        server.rest.get("/v1/models/no")
        server.rest.headers["authorization"] = "Bearer secret"
        server.rest.post(PREDICT, content=b" " * 101)
        server.rest.post("/v1/models/no:classify", content=b" " * 101)
        server.rest.get("/v1/models")
        with socket.create_connection(("localhost", server.rest_port), timeout=30) as connection:
            head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\ncontent-length: 9\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 504 ")
        page = server.rest.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("wdr_request"))

    def series(code: str, method: str, model: str) -> str:
        return (
            f'wdr_requests_total{{code="{code}",method="{method}",model="{model}",protocol="rest",signature="",'
            'version=""}'
        )

    assert values == {
        series("UNAUTHENTICATED", "Predict", MODEL): "1.0",
        series("UNAUTHENTICATED", "GetModelStatus", ""): "1.0",
        series("RESOURCE_EXHAUSTED", "Predict", MODEL): "1.0",
        series("RESOURCE_EXHAUSTED", "Classify", ""): "1.0",
        series("INVALID_ARGUMENT", "GetModelStatus", ""): "1.0",
        series("DEADLINE_EXCEEDED", "Predict", MODEL): "1.0",
    }


def test_reflection_tells_of_services_and_messages(server: Server) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictRequest"),
    ]
    services, described, message = stub.ServerReflectionInfo(iter(asked))
    assert {found.name for found in services.list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    }
    serialized, *_ = described.file_descriptor_response.file_descriptor_proto
    file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
    assert [(m.name, m.input_type) for m in file.service[0].method][2] == (
        "Predict",
        ".tensorflow.serving.PredictRequest",
    )
    assert message.file_descriptor_response.file_descriptor_proto


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of `localhost`, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    pair = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-out", str(pair[0]), "-keyout", str(pair[1])),
        ],
        check=True,
        capture_output=True,
    )
    return pair


def test_tls_and_a_token(models: Path, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    pem, key = certificate
    (tmp_path / "token").write_text("sesame\n", encoding="utf-8")

    def channel(port: int) -> grpc.Channel:
        return grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(pem.read_bytes()))

    options = ("--tls-certificate", pem, "--tls-key", key, "--token-file", tmp_path / "token")
    trusting = ssl.create_default_context(cafile=str(pem))
    with running("--models", models, *options, channel=channel, verify=trusting) as server:
        for metadata in ((), (("authorization", "Bearer open"),), (("authorization", "sesame"),)):
            code, message = refusal(server.predictions.Predict, x_request([1.0]), metadata=metadata)
            assert code is grpc.StatusCode.UNAUTHENTICATED
            assert message.startswith("a request must have the header `authorization: Bearer TOKEN`")
        token = (("authorization", "Bearer sesame"),)
        assert server.predictions.Predict(x_request([1.0]), metadata=token).outputs["y"].float_val[0] == 3.5
        assert health(server, "") == health_pb2.HealthCheckResponse.SERVING
        assert server.rest.post(PREDICT, content=BODY).status_code == 401
        assert server.rest.get("/metrics").status_code == 401
        answer = server.rest.post(PREDICT, content=BODY, headers={"authorization": "Bearer sesame"})
        assert answer.json() == {"predictions": [3.5]}
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://localhost:{server.rest_port}/healthz")
        with grpc.insecure_channel(f"localhost:{server.grpc_port}") as plain, pytest.raises(grpc.RpcError):
            health_pb2_grpc.HealthStub(plain).Check(health_pb2.HealthCheckRequest(), timeout=2)


def test_clients_must_have_a_certificate(models: Path, certificate: tuple[Path, Path]) -> None:
    pem, key = certificate

    def channel(port: int) -> grpc.Channel:
        own = grpc.ssl_channel_credentials(pem.read_bytes(), key.read_bytes(), pem.read_bytes())
        return grpc.secure_channel(f"localhost:{port}", own)

    anonymous, context = (ssl.create_default_context(cafile=str(pem)) for _ in range(2))
    context.load_cert_chain(pem, key)
    options = ("--tls-certificate", pem, "--tls-key", key, "--tls-client-ca", pem)
    with running("--models", models, *options, channel=channel, verify=context) as server:
        assert server.rest.post(PREDICT, content=BODY).json() == {"predictions": [3.5]}
        assert server.predictions.Predict(x_request([1.0])).outputs["y"].float_val[0] == 3.5
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"https://localhost:{server.rest_port}/healthz", verify=anonymous)


@pytest.mark.parametrize(("text", "rule"), [(" \n", "a token file must have a token."), ("a b", "a token must be ")])
def test_a_token_that_anybody_could_send_is_refused(models: Path, tmp_path: Path, text: str, rule: str) -> None:
    (tmp_path / "token").write_text(text)
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--models", str(models), "--grpc-port", "0"]
    options = ["--rest-port", "0", "--token-file", str(tmp_path / "token")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {rule}")


def test_both_ports_listen_at_an_address_of_ipv6(models: Path) -> None:
    def channel(port: int) -> grpc.Channel:
        return grpc.insecure_channel(f"[::1]:{port}")

    with running("--models", models, "--host", "::1", channel=channel, ready=False) as server:
        server.wait_for_log("a version serves")
        assert server.predictions.Predict(x_request([1.0])).outputs["y"].float_val[0] == 3.5
        assert httpx.get(f"http://[::1]:{server.rest_port}/readyz").status_code == 200


def test_the_calls_of_one_connection_are_bounded(models: Path) -> None:
    """The server's first frame is its SETTINGS (RFC 9113, 6.5): 3 is the identifier of MAX_CONCURRENT_STREAMS."""
    with (
        running("--models", models) as server,
        socket.create_connection(("127.0.0.1", server.grpc_port), timeout=30) as connection,
    ):
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04" + b"\x00" * 5)
        received = b""
        while len(received) < 9 or len(received) < 9 + int.from_bytes(received[:3], "big"):
            received += connection.recv(65536)
    assert received[3] == 4
    payload = received[9 : 9 + int.from_bytes(received[:3], "big")]
    settings = dict(struct.iter_unpack(">HI", payload))
    assert settings[3] == 100


def test_a_stop_answers_what_is_at_work(models: Path, hold: Hold) -> None:
    with running("--models", models, "--grace-seconds", "60") as server, ThreadPoolExecutor(1) as pool:
        at_work = server.predictions.Predict.future(hold.request())
        over_rest = f"/v1/models/{MODEL}/metadata"
        assert server.rest.get(over_rest).status_code == 200
        server.wait_for_requests("running", 1)
        exit_code = pool.submit(server.stop)
        server.wait_for_log("stopping; requests at work are answered")
        assert not at_work.done()
        hold.release()
        assert exit_code.result() == 0
        assert "checks" in at_work.result().outputs
        assert [line["message"] for line in server.log] == [
            "listening",
            "a version serves",
            "stopping; requests at work are answered",
            "a version was dropped",
            "stopped",
        ]
        assert all({"time", "level"} <= line.keys() for line in server.log)


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        ([], 1, "there must be a model to serve: a folder in `--models DIR`, or `--model NAME=DIR`"),
        (["--model", "a"], 1, "`--model` must be of the form NAME=DIR. Received: a"),
        (["--model", "a=/", "--label", "a:x"], 1, "`--label` must be of the form NAME:LABEL=VERSION. Received: a:x"),
        (["--model", "a=/", "--label", "b:x=1"], 1, "`--label` must name a model that is served: a. Received: b"),
        (
            ["--model", "a=/", "--specific", "a=x"],
            1,
            "`--specific` must have a version, a number. Received: x",
        ),
        (["--models", "/no/such"], 2, "Invalid value for '--models': Directory '/no/such' does not exist."),
        (["--model", "a=/", "--tls-key", __file__], 2, "`--tls-certificate` and `--tls-key` must be given together"),
        (["--model", "a=/", "--threads", "0"], 2, "Invalid value for '--threads': 0 is not in the range x>=1."),
    ],
)
def test_a_wrong_option_is_told_in_one_sentence(options: list[str], code: int, error: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving.model_server", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (code, f"Error: {error}")


@pytest.mark.parametrize("option", ["--grpc-port", "--rest-port"])
def test_a_port_that_is_taken_is_told(server: Server, models: Path, option: str) -> None:
    taken = server.grpc_port if option == "--grpc-port" else server.rest_port
    other = "--rest-port" if option == "--grpc-port" else "--grpc-port"
    done = subprocess.run(
        [sys.executable, "-m", "serving.model_server", "--models", str(models), option, str(taken), other, "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    kind = "gRPC" if option == "--grpc-port" else "REST"
    assert done.stderr.splitlines()[-1].startswith(f"Error: the {kind} port must be free. Received: 127.0.0.1:{taken}")


def test_connections_of_rest_hold_nothing_back() -> None:
    # A response's head is sent before its body, which must not wait until the client has acknowledged the head.
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
