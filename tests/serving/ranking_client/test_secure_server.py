"""Tests of a server that requires a token and a client certificate, and of clients with and without them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from serving.ranking_client.channel import LOOK_SECONDS
from serving.ranking_client.client import RankingClient
from serving.ranking_client.errors import RankingError
from serving.ranking_client.settings import ClientSettings, write_settings
from tests.serving.certificates import make_pair
from tests.serving.ranking_client.asking import Ask, Request, ask_async, ask_sync
from tests.serving.ranking_client.running import free_port, process, ranking_service
from transform.errors import InputError

REQUEST: Request = ({}, ["app_1", "app_2"])
BEST = ["app_2", "app_1"]


@pytest.fixture(scope="module")
def settings(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientSettings]:
    """The settings of a client that has what the server requires; the server is running."""
    folder = tmp_path_factory.mktemp("secure")
    server, client, token = make_pair(folder, "server"), make_pair(folder, "client"), folder / "token"
    token.write_text("sesame\n", encoding="ascii")
    port = free_port()
    ports = ["--grpc-port", str(port), "--rest-port", str(free_port()), "--poll-seconds", "0.05"]
    secure = ["--tls-certificate", str(server.certificate), "--tls-key", str(server.key)]
    requested = ["--tls-client-ca", str(client.certificate), "--token-file", str(token)]
    settings = ClientSettings(
        model="tiny",
        server=f"localhost:{port}",
        deadline_seconds=20.0,
        ca_certificate=str(server.certificate),
        client_certificate=str(client.certificate),
        client_key=str(client.key),
        token_file=str(token),
    )
    command = ["-m", "serving.model_server", "--model", f"tiny={models / 'tiny'}", *ports, *secure, *requested]
    with process(command, folder / "log") as running, RankingClient(settings) as asking:
        end = time.monotonic() + 60
        while True:
            try:
                asking.signatures()
                break
            except RankingError:
                assert running.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.1)
        yield settings


@pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])
def test_only_who_has_certificates_and_token_is_answered(ask: Ask, settings: ClientSettings, tmp_path: Path) -> None:
    (ranking,) = ask(settings, REQUEST)
    assert [item.item_id for item in ranking.items] == BEST

    (tmp_path / "token").write_text("open", encoding="ascii")
    for token_file in (None, str(tmp_path / "token")):
        with pytest.raises(RankingError) as raised:
            ask(dataclasses.replace(settings, token_file=token_file), REQUEST)
        assert raised.value.code.name == "UNAUTHENTICATED"
        assert str(raised.value).startswith(
            "the model server must accept the request. Received: UNAUTHENTICATED: a req"
        )

    other = make_pair(tmp_path, "other")
    for refused in (
        {"ca_certificate": None, "client_certificate": None, "client_key": None},
        {"client_certificate": None, "client_key": None},
        {"client_certificate": str(other.certificate), "client_key": str(other.key)},
        {"ca_certificate": str(other.certificate)},
    ):
        with pytest.raises(RankingError) as raised:
            ask(dataclasses.replace(settings, **refused), REQUEST)
        assert raised.value.code.name == "UNAVAILABLE"


@pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])
def test_files_that_do_not_fit_are_told(ask: Ask, settings: ClientSettings, tmp_path: Path) -> None:
    other = make_pair(tmp_path, "other")
    with pytest.raises(InputError) as raised:
        ask(dataclasses.replace(settings, client_key=str(other.key)), REQUEST)
    assert str(raised.value) == (
        "a certificate and its key must be PEM files of one pair. "
        f"Received: KEY_VALUES_MISMATCH ({settings.client_certificate}, {other.key})"
    )
    with pytest.raises(InputError) as raised:
        ask(dataclasses.replace(settings, ca_certificate=settings.token_file), REQUEST)
    assert str(raised.value).startswith("an authority must be a PEM file of certificates. Received: ")


@pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])
def test_a_token_is_read_again_and_a_broken_one_does_not_hold(
    ask: Ask, settings: ClientSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    path.write_text("sesame", encoding="ascii")

    def write(text: str) -> Callable[[], None]:
        def write_and_wait() -> None:
            path.write_text(text, encoding="ascii")
            time.sleep(LOOK_SECONDS * 1.1)

        return write_and_wait

    changing = dataclasses.replace(settings, token_file=str(path))
    assert len(ask(changing, REQUEST, write(""), REQUEST, REQUEST)) == 3
    (reported,) = caplog.messages
    assert reported == (
        "the token cannot be read again; the earlier stays in use: "
        f"a token file must have a token. Received: an empty file ({path})"
    )
    path.write_text("sesame", encoding="ascii")
    with pytest.raises(RankingError) as raised:
        ask(changing, REQUEST, write("open"), REQUEST)
    assert raised.value.code.name == "UNAUTHENTICATED"


def test_the_commands_present_a_certificate(settings: ClientSettings, tmp_path: Path) -> None:
    assert settings.ca_certificate
    assert settings.client_certificate
    assert settings.client_key
    assert settings.token_file
    options = [
        *("--ca-certificate", settings.ca_certificate, "--token-file", settings.token_file),
        *("--client-certificate", settings.client_certificate, "--client-key", settings.client_key),
    ]
    ask = ["--model", "tiny", "--server", settings.server, "--deadline-seconds", "20"]
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "rank",
        *ask,
        *options,
        "--context",
        "{}",
        "--items",
        "app_1,app_2",
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [item["id"] for item in json.loads(done.stdout)["items"]] == BEST
    write_settings(settings, str(tmp_path / "client.json"))
    with ranking_service(settings.server, "tiny", tmp_path / "log", "--settings", str(tmp_path / "client.json")) as url:
        answer = httpx.post(f"{url}/rank", json={"context": {}, "candidates": ["app_1", "app_2"]}, timeout=30)
    assert [item["id"] for item in answer.json()["items"]] == BEST
