"""A server that speaks TLS and wants a token, and clients that do and do not have what it wants."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.ranking.client import RankingClient
from serving.ranking.errors import RankingError
from serving.ranking.settings import ClientSettings
from tests.serving.ranking.running import free_port, process
from tests.serving.ranking.test_client import Ask, ask_async, ask_sync


@pytest.fixture(scope="module")
def settings(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientSettings]:
    """Of a client that has what the server wants; the server is up."""
    folder = tmp_path_factory.mktemp("secure")
    pem, key, token = folder / "certificate.pem", folder / "key.pem", folder / "token"
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-out", str(pem), "-keyout", str(key)]
    subprocess.run(["openssl", *new, *names], check=True, capture_output=True)
    token.write_text("sesame\n", encoding="ascii")
    port = free_port()
    ports = ["--grpc-port", str(port), "--rest-port", str(free_port())]
    secure = ["--tls-certificate", str(pem), "--tls-key", str(key), "--token-file", str(token)]
    settings = ClientSettings(
        model="tiny",
        server=f"localhost:{port}",
        deadline_seconds=20.0,
        ca_certificate=str(pem),
        token_file=str(token),
    )
    command = ["-m", "serving.model_server", "--model", f"tiny={models / 'tiny'}", *ports, *secure]
    with process(command, folder / "log") as running, RankingClient(settings) as client:
        end = time.monotonic() + 60
        while True:
            try:
                client.signatures()
                break
            except RankingError:
                assert running.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.1)
        yield settings


@pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])
def test_only_who_has_certificate_and_token_is_answered(ask: Ask, settings: ClientSettings, tmp_path: Path) -> None:
    (ranking,) = ask(settings, ({}, ["app_1", "app_2"]))
    assert [item.item_id for item in ranking.items] == ["app_2", "app_1"]

    (tmp_path / "token").write_text("open", encoding="ascii")
    for token_file in (None, str(tmp_path / "token")):
        with pytest.raises(RankingError) as raised:
            ask(dataclasses.replace(settings, token_file=token_file), ({}, ["app_1"]))
        assert raised.value.code.name == "UNAUTHENTICATED"
        assert str(raised.value).startswith(
            "the model server must accept the request. Received: UNAUTHENTICATED: a req"
        )

    with pytest.raises(RankingError) as raised:
        ask(dataclasses.replace(settings, ca_certificate=None), ({}, ["app_1"]))
    assert raised.value.code.name == "UNAVAILABLE"
