"""Tests of tokens and certificates that are replaced while the server runs."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import grpc
import httpx
import pytest

from tests.serving.certificates import Pair, make_pair
from tests.serving.model_server.operator_calls import ANY, FORBIDDEN, bearer, failed, reload
from tests.serving.model_server.requests import refusal
from tests.serving.model_server.running import POLL, Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL, x_request

PREDICT = f"/v1/models/{MODEL}:predict"
BODY = '{"instances": [1.0]}'


def replace(target: Path, source: Path) -> None:
    """Replaces a file in one step, as it should be done."""
    shutil.copy(source, target.with_suffix(".new"))
    target.with_suffix(".new").replace(target)


def test_a_new_token_holds_and_a_broken_one_does_not(models: Path, tmp_path: Path) -> None:
    callers, operators = tmp_path / "callers", tmp_path / "operators"
    callers.write_text("sesame", encoding="ascii")
    operators.write_text("master", encoding="ascii")
    tokens = ("--token-file", callers, "--operator-token-file", operators)
    with running("--models", models, *tokens, *ANY, *POLL) as server:

        def post(token: str) -> int:
            return server.rest.post(PREDICT, content=BODY, headers={"authorization": f"Bearer {token}"}).status_code

        assert post("sesame") == 200
        callers.write_text("barley", encoding="ascii")
        server.wait_for_log("the callers' token was read again", level="info")
        assert (post("sesame"), post("barley")) == (401, 200)
        code, _ = refusal(server.predictions.Predict, x_request([1.0]), metadata=bearer("sesame"))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert server.predictions.Predict(x_request([1.0]), metadata=bearer("barley"))

        operators.write_text("mistress", encoding="ascii")
        server.wait_for_log("the operator's token was read again")
        assert refusal(server.models.HandleReloadConfigRequest, reload(models), metadata=bearer("barley")) == FORBIDDEN
        assert server.models.HandleReloadConfigRequest(reload(models), metadata=bearer("mistress"))

        kept = "the callers' token cannot be read again; the earlier stays in use"
        callers.write_text("\n", encoding="ascii")
        reason = f"a token file must have a token. Received: an empty file ({callers})"
        server.wait_for_log(kept, level="error", reason=reason)
        callers.write_text("mistress", encoding="ascii")
        same = "the operator's token must differ from the callers'. Received: the same token in both files"
        server.wait_for_log(kept, reason=same)
        assert (post("barley"), post("sesame")) == (200, 401)
        assert "barley" not in str(server.log)


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """The server's certificate, its replacement, and the certificates of two clients."""
    return [make_pair(tmp_path, name) for name in ("first", "second", "client", "other")]


def served_to(server: Server, trusted: Pair, client: Pair) -> tuple[bool, bool]:
    """Whether a client with its own certificate, which trusts `trusted`, can connect by gRPC and by REST."""
    own = grpc.ssl_channel_credentials(
        *(path.read_bytes() for path in (trusted.certificate, client.key, client.certificate))
    )
    with grpc.secure_channel(f"localhost:{server.grpc_port}", own, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        try:
            over_grpc = bool(predict(x_request([1.0]).SerializeToString()))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            over_grpc = False
    context = ssl.create_default_context(cafile=str(trusted.certificate))
    context.load_cert_chain(client.certificate, client.key)
    try:
        url = f"https://localhost:{server.rest_port}{PREDICT}"
        over_rest = httpx.post(url, content=BODY, verify=context, timeout=60).status_code == 200
    except httpx.HTTPError:
        over_rest = False
    return over_grpc, over_rest


@pytest.mark.slow
def test_a_new_token_beside_the_old_one_refuses_no_caller(models: Path, tmp_path: Path) -> None:
    callers = tmp_path / "callers"
    callers.write_text("old\n", encoding="ascii")
    with running("--models", models, "--token-file", callers, *POLL) as server:

        def post(token: str) -> int:
            return server.rest.post(PREDICT, content=BODY, headers={"authorization": f"Bearer {token}"}).status_code

        def times_read() -> int:
            return [line["message"] for line in server.log].count("the callers' token was read again")

        for times, (text, statuses) in enumerate([("new\n\nold\n", (200, 200)), ("new\n", (401, 200))], 1):
            callers.write_text(text, encoding="ascii")
            wait_for(lambda times=times: times_read() == times, f"reading {times}")  # type: ignore[misc]
            assert (post("old"), post("new")) == statuses
        assert server.predictions.Predict(x_request([1.0]), metadata=bearer("new"))


def test_a_new_certificate_is_shown_and_a_broken_one_is_not(models: Path, pairs: list[Pair], tmp_path: Path) -> None:
    first, second, client, other = pairs
    files = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    authority = tmp_path / "ca.crt"
    for target, source in (
        (files.certificate, first.certificate),
        (files.key, first.key),
        (authority, client.certificate),
    ):
        replace(target, source)

    def channel(port: int) -> grpc.Channel:
        own = [path.read_bytes() for path in (first.certificate, client.key, client.certificate)]
        return grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(*own))

    context = ssl.create_default_context(cafile=str(first.certificate))
    context.load_cert_chain(client.certificate, client.key)
    options = ("--tls-certificate", files.certificate, "--tls-key", files.key, "--tls-client-ca", authority)
    with running("--models", models, *options, *POLL, channel=channel, verify=context) as server:
        assert server.predictions.Predict(x_request([1.0])).outputs["y"].float_val[0] == 3.5
        assert served_to(server, first, client) == (True, True)
        assert served_to(server, first, other) == (False, False)
        assert served_to(server, second, client) == (False, False)

        replace(files.certificate, second.certificate)
        reported = server.wait_for_log("the certificate cannot be read again; the earlier stays in use", level="error")
        assert reported["reason"] == (
            "a certificate and its key must be PEM files of one pair. "
            f"Received: KEY_VALUES_MISMATCH ({files.certificate}, {files.key})"
        )
        assert served_to(server, first, client) == (True, True)

        replace(files.key, second.key)
        again = "the certificate was read again"
        server.wait_for_log(again)
        assert served_to(server, second, client) == (True, True)
        assert served_to(server, first, client) == (False, False)
        # Existing connections continue.
        assert server.predictions.Predict(x_request([1.0])).outputs["y"].float_val[0] == 3.5
        assert server.rest.post(PREDICT, content=BODY).json() == {"predictions": [3.5]}

        replace(authority, other.certificate)
        wait_for(lambda: [line["message"] for line in server.log].count(again) == 2, "the clients' new authority")
        assert served_to(server, second, other) == (True, True)
        assert served_to(server, second, client) == (False, False)


@pytest.mark.parametrize("mistake", ["another key", "an encrypted key", "no authority"])
def test_a_certificate_that_cannot_be_used_is_told_at_the_start(models: Path, tmp_path: Path, mistake: str) -> None:
    pair = make_pair(tmp_path, "a", password="secret" if mistake == "an encrypted key" else None)
    key = make_pair(tmp_path, "b").key if mistake == "another key" else pair.key
    (tmp_path / "ca").write_text("none", encoding="ascii")
    authority = ("--tls-client-ca", tmp_path / "ca") if mistake == "no authority" else ()
    reported = failed("--models", models, "--tls-certificate", pair.certificate, "--tls-key", key, *authority)
    assert (
        reported
        == "Error: "
        + {
            "another key": "a certificate and its key must be PEM files of one pair. "
            f"Received: KEY_VALUES_MISMATCH ({pair.certificate}, {key})",
            "an encrypted key": f"the key of a certificate must not be encrypted. Received: a key that is ({key})",
            "no authority": "an authority must be a PEM file of certificates. "
            f"Received: NO_CERTIFICATE_OR_CRL_FOUND ({tmp_path / 'ca'})",
        }[mistake]
    )
