"""The commands `wdr models …`: pushed versions, the version that serves, and rollback."""

from __future__ import annotations

import os
import sys

import click

from pipeline.cli.options import AS_JSON, WORKSPACE, Group, print_document, quiet_imports
from pipeline.workspace import Workspace
from transform.errors import InputError

_MODEL = click.option(
    "--model", "name", help="The model's name (`name` in its config); required if the workspace has several."
)
_VERSION = click.argument("version", type=click.IntRange(min=1))


@click.group(cls=Group)
def models() -> None:
    """The pushed versions."""


@models.command("list")
@WORKSPACE
@_MODEL
@AS_JSON
def list_models(workspace: str, name: str | None, as_json: bool) -> None:
    """List the pushed versions and which one serves."""
    from pipeline.cli.display import console_for
    from pipeline.registry.list import VersionList, version_entries, versions_table

    entries = version_entries(Workspace.existing(workspace), name)
    if as_json:
        print_document(VersionList(entries))
        return
    console_for(sys.stdout).print(versions_table(entries))


@models.command()
@click.argument("version", type=click.IntRange(min=1), required=False)
@WORKSPACE
@_MODEL
@AS_JSON
def show(version: int | None, workspace: str, name: str | None, as_json: bool) -> None:
    """Show what a version was made from, back to its log files and row counts; the one that serves if left out."""
    with quiet_imports():
        from pipeline.cli.display import console_for
        from pipeline.registry.list import serving_root
        from pipeline.registry.record import provenance, record_table

    place = Workspace.existing(workspace)
    connection = place.metadata_connection()
    found = provenance(serving_root(place, name), version, connection)
    if as_json:
        print_document(found)
        return
    console_for(sys.stdout).print(record_table(found, connection))


@models.command()
@click.argument("first", metavar="A", type=click.IntRange(min=1))
@click.argument("second", metavar="B", type=click.IntRange(min=1))
@WORKSPACE
@_MODEL
@AS_JSON
def diff(first: int, second: int, workspace: str, name: str | None, as_json: bool) -> None:
    """Show in what the versions A and B differ: config, spans, code, metrics, vocabularies, catalog."""
    from pipeline.cli.display import console_for
    from pipeline.registry.list import serving_root

    place = Workspace.existing(workspace)
    root = serving_root(place, name)
    with quiet_imports():
        from pipeline.registry.diff import Differences, diff_table, differences
        from pipeline.registry.progressive import ProgressiveValidation, read_common

    def unseen(one: str, other: str) -> ProgressiveValidation | None:
        with quiet_imports():  # also hides TensorFlow's deprecation warning at each reading of metrics
            return read_common(place.metadata_connection(), one, other)

    found = differences(root, first, second, unseen)
    if as_json:
        print_document(Differences(first, second, found))
    elif found:
        console_for(sys.stdout).print(diff_table(first, second, found))
    else:
        click.echo(f"versions {first} and {second} do not differ")


@models.command()
@WORKSPACE
@_MODEL
@click.option("--to", type=click.IntRange(min=1), help="The version to restore; by default the previous one.")
@click.option("--reason", required=True, help="The reason; it is recorded.")
@AS_JSON
def rollback(workspace: str, name: str | None, to: int | None, reason: str, as_json: bool) -> None:
    """Make the previous version serve again, as a new version with its files."""
    from components.model_store.rollback import roll_back
    from pipeline.registry.list import record, serving_root

    place = Workspace.existing(workspace)
    root = serving_root(place, name)
    connection = place.metadata_connection()  # before the rollback, as a malformed URL is an error
    version = roll_back(root, reason, to)
    recorded = record(connection, root, version)
    _changed("rollback", version, f"{root}/{version}", as_json, f"version {version} serves", recorded)


@models.command()
@_VERSION
@WORKSPACE
@_MODEL
@click.option("--reason", default="", help="The reason; `wdr models list` shows it.")
@AS_JSON
def pin(version: int, workspace: str, name: str | None, reason: str, as_json: bool) -> None:
    """Keep a version: it is not removed, however many are pushed."""
    from components.model_store.retention import pin as pin_version
    from pipeline.registry.list import serving_root

    root = serving_root(Workspace.existing(workspace), name)
    pin_version(root, version, reason)
    _changed("pin", version, f"{root}/{version}", as_json, f"version {version} is pinned")


@models.command()
@_VERSION
@WORKSPACE
@_MODEL
@AS_JSON
def unpin(version: int, workspace: str, name: str | None, as_json: bool) -> None:
    """Take a pin away: the version goes when it is old."""
    from components.model_store.retention import unpin as unpin_version
    from pipeline.registry.list import serving_root

    root = serving_root(Workspace.existing(workspace), name)
    unpin_version(root, version)
    _changed("unpin", version, f"{root}/{version}", as_json, f"version {version} is no longer pinned")


@models.command("tf-serving")
@WORKSPACE
@_MODEL
@click.option("--out", "path", required=True, type=click.Path(dir_okay=False), help="TF Serving's models.config.")
@click.option(
    "--label", "labels", multiple=True, metavar="LABEL=VERSION", help="Assign a label, such as stable, to a version."
)
@click.option("--unlabel", multiple=True, metavar="LABEL", help="Remove a label.")
@click.option("--load", multiple=True, type=click.IntRange(min=1), help="A version to load in addition to the newest.")
@click.option("--base-path", default="/models", help="The models' folder as TF Serving sees it.  [default: /models]")
@AS_JSON
def tf_serving(
    workspace: str,
    name: str | None,
    path: str,
    labels: tuple[str, ...],
    unlabel: tuple[str, ...],
    load: tuple[int, ...],
    base_path: str,
    as_json: bool,
) -> None:
    """Write which versions TF Serving loads: those with a label, and the newest. Other labels stay where they are."""
    from pipeline.registry.list import VersionChange, serving_root

    place = Workspace.existing(workspace)
    model = os.path.basename(serving_root(place, name))
    with quiet_imports():
        from pipeline.registry.tf_serving_config import write_config
    sentence = write_config(place, path, model, dict(map(_label, labels)), unlabel, load, base_path)
    if as_json:
        print_document(VersionChange("tf-serving", None, path, (sentence,)))
        return
    click.echo(sentence)


def _changed(command: str, version: int, path: str, as_json: bool, done: str, *more: str) -> None:
    """Prints what a command has done to a version, and where."""
    from pipeline.registry.list import VersionChange

    if as_json:
        print_document(VersionChange(command, version, path, (done, *more)))
        return
    click.echo(f"{done} ({path})")
    for sentence in more:
        click.echo(sentence)


def _label(text: str) -> tuple[str, int]:
    """Parses LABEL=VERSION; returns the label and the version."""
    label, _, version = text.partition("=")
    if not label or not version.isdecimal() or not version.isascii() or int(version) < 1:
        raise click.UsageError(f"`--label` must be of the form LABEL=VERSION. Received: {text}")
    return label, int(version)


@models.command()
@WORKSPACE
@_MODEL
@AS_JSON
def history(workspace: str, name: str | None, as_json: bool) -> None:
    """Show how each model did on the span after those that it was trained on, beside the model before it."""
    from pipeline.cli.display import console_for

    place = Workspace.existing(workspace)
    with quiet_imports():  # also hides TensorFlow's deprecation warning, as above
        from pipeline.registry.progressive import History, history_table, read_history

        found = read_history(place.metadata_connection(), name)
    if as_json:
        print_document(History(found))
        return
    if not found:
        raise InputError(f"no model has been evaluated on a span after its own yet ({place.root})")
    console_for(sys.stdout).print(history_table(found))
