"""`wdr models tf-serving`, tested against TF Serving's rules for labels and versions, modelled in plain Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from components.model_store.manifest import Manifest
from components.model_store.retention import pin, pins
from components.model_store.versions import add_version
from pipeline.cli.main import cli
from pipeline.workspace import Workspace


class TFServing:
    """A model of TF Serving 2.19's use of `models.config` with one model: `ServerCore::ReloadConfig` and file source.

    The server is started with `--allow_version_labels_for_unavailable_models`: a new label may point to a version that
    is not loaded, but an existing label can only move to a loaded version. Labels are checked first; if they are
    rejected, nothing is loaded.
    """

    def __init__(self, path: Path, root: Path):
        self._path, self._root = path, root
        self._policy: Any = None
        self.loaded: set[int] = set()
        self.labels: dict[str, int] = {}

    def read(self) -> None:
        config = text_format.Parse(self._path.read_text(), model_server_config_pb2.ModelServerConfig())
        (model,) = config.model_config_list.config
        for label, version in model.version_labels.items():
            if self.labels.get(label, version) != version and version not in self.loaded:
                raise AssertionError(f"FAILED_PRECONDITION: label {label} at {version}, loaded {self.loaded}")
        self.labels = dict(model.version_labels)
        self._policy = model.model_version_policy
        self.look()

    def look(self) -> None:
        existing = sorted(int(entry.name) for entry in self._root.iterdir() if entry.name.isdecimal())
        if self._policy.HasField("specific"):
            self.loaded = set(existing) & set(self._policy.specific.versions)
        else:
            self.loaded = set(existing[-(self._policy.latest.num_versions or 1) :])

    def answers(self, label: str | None = None) -> int:
        """Returns the version that answers a client with this label, or without a label."""
        version = max(self.loaded) if label is None else self.labels[label]
        assert version in self.loaded, f"NOT_FOUND: {label} is {version}, loaded {self.loaded}"
        return version


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The serving folder of a model; it does not exist yet."""
    return Workspace.at(tmp_path / "workspace").serving("store")


@pytest.fixture
def server(root: Path, tmp_path: Path) -> TFServing:
    return TFServing(tmp_path / "models.config", root)


def push(root: Path) -> int:
    return add_version(str(root), lambda folder: None, Manifest())


def run(root: Path, *arguments: str) -> Result:
    path = root.parents[2] / "models.config"
    command = ["models", "tf-serving", "--workspace", str(root.parents[1]), "--out", str(path), *arguments]
    return CliRunner().invoke(cli, command)


def write(root: Path, *arguments: str) -> str:
    done = run(root, *arguments)
    assert done.exception is None, done.exception
    return done.stdout.strip()


def refused(root: Path, *arguments: str) -> str:
    done = run(root, *arguments)
    assert done.exception is not None
    return str(done.exception) if not isinstance(done.exception, SystemExit) else done.output


def test_a_label_answers_however_many_versions_come_after_it(root: Path, server: TFServing) -> None:
    """With `latest { num_versions: 2 }`, the third version would unload the first, and `stable` would be NOT_FOUND."""
    push(root)
    reported = write(root, "--label", "stable=1")
    assert reported.startswith("store: versions [1] are loaded; stable is 1")
    server.read()
    for version in (2, 3, 4, 5):
        assert push(root) == version
        server.look()
        assert server.answers("stable") == 1
        write(root)
        server.read()
        assert (server.answers("stable"), server.answers()) == (1, version)
    assert server.loaded == {1, 5}


def test_a_canary_becomes_stable_and_goes_back(root: Path, server: TFServing) -> None:
    push(root)
    write(root, "--label", "stable=1")
    server.read()
    push(root)
    write(root, "--label", "canary=2")
    server.read()
    assert (server.answers("stable"), server.answers("canary")) == (1, 2)
    write(root, "--label", "stable=2", "--load", "1")
    server.read()
    assert (server.answers("stable"), server.loaded) == (2, {1, 2})
    write(root, "--label", "stable=1", "--unlabel", "canary")
    server.read()
    assert (server.answers("stable"), server.labels) == (1, {"stable": 1})


def test_a_label_does_not_move_to_a_version_that_is_not_loaded_yet(root: Path, server: TFServing) -> None:
    push(root)
    write(root, "--label", "stable=1")
    server.read()
    push(root)
    sentence = refused(root, "--label", "stable=2")
    assert "label `stable` from 1 to 2, where the file loads [1]: run this with `--load 2` and without" in sentence
    server.read()
    write(root, "--load", "2")
    server.read()
    write(root, "--label", "stable=2")
    server.read()
    assert server.answers("stable") == 2


def test_without_labels_the_newest_serves_whichever_it_is(root: Path, server: TFServing) -> None:
    push(root)
    assert write(root).startswith("store: versions [1] are loaded; no labels")
    server.read()
    push(root)
    server.look()
    assert server.answers() == 2


def test_versions_with_a_label_are_pinned_while_they_have_it(root: Path) -> None:
    for _ in range(3):
        push(root)
    pin(str(root), 3, "audit")
    write(root, "--label", "stable=1", "--label", "canary=3")
    assert pins(str(root)) == {1: "TF Serving's labels: stable", 3: "audit"}
    write(root, "--load", "2")
    write(root, "--label", "stable=2")
    assert pins(str(root)) == {2: "TF Serving's labels: stable", 3: "audit"}


def test_what_the_file_says_of_other_models_and_of_the_folder_stays(root: Path) -> None:
    path = root.parents[2] / "models.config"
    other = 'model_config_list { config { name: "other" base_path: "gs://models/other" } }'
    path.write_text(other)
    push(root)
    write(root, "--label", "stable=1", "--base-path", "/served")
    config = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    kept, added = config.model_config_list.config
    assert (kept.name, kept.base_path) == ("other", "gs://models/other")
    assert (added.name, added.base_path, added.model_platform) == ("store", "/served/store", "tensorflow")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--label", "stable=7"), "label `stable` must have one of the versions [1]. Received: 7"),
        (("--load", "7"), "`--load` must be one of the versions [1]. Received: 7"),
        (("--unlabel", "beta"), "`--unlabel` must be one of the file's labels []. Received: beta"),
        (("--label", "stable"), "`--label` must be of the form LABEL=VERSION. Received: stable"),
        (("--label", "stable=-1"), "`--label` must be of the form LABEL=VERSION. Received: stable=-1"),
    ],
)
def test_what_is_not_there_is_named(root: Path, arguments: tuple[str, ...], sentence: str) -> None:
    push(root)
    assert sentence in refused(root, *arguments)


@pytest.mark.parametrize("content", [b"models: [store]", b"\xff\xfe a file of another kind"])
def test_a_file_of_another_kind_is_not_overwritten(root: Path, content: bytes) -> None:
    push(root)
    path = root.parents[2] / "models.config"
    path.write_bytes(content)
    assert "the file must be TF Serving's model_config_list. Received: " in refused(root)
    assert path.read_bytes() == content


def test_a_file_in_the_current_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(root)
    monkeypatch.chdir(tmp_path)
    command = ["models", "tf-serving", "--workspace", str(root.parents[1]), "--out", "new.config"]
    assert CliRunner().invoke(cli, command).exit_code == 0
    assert "num_versions: 1" in (tmp_path / "new.config").read_text()
