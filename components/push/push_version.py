"""Pushes a model: copies it to the next version of a serving folder, unless the folder has it already."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from absl import logging

from components import storage
from components.fence import check_locked
from components.model_store.identity import is_same_model, versions_with
from components.model_store.manifest import Baseline, Forced, Manifest
from components.model_store.retention import remove_old
from components.model_store.versions import (
    add_version,
    checksums,
    damage,
    history,
    locked,
    newest_span,
    user,
    versions,
)
from components.push.warmup import write_warmup
from transform.files.version_layout import CATALOG_FOLDER, CONFIG_FILE, EXTRA_ASSETS, differences

#: Scores whose relative difference is at most this count as equal.
SAME_SCORES = 1e-5


class PushRefusedError(ValueError):
    """The push itself refuses a model that the gates accepted."""


class StaleBaselineError(PushRefusedError):
    """The model that serves is not the baseline that the candidate model was compared with."""


class OlderModelError(PushRefusedError):
    """The model was trained only on older spans than the model that serves."""


class UnchangedModelError(PushRefusedError):
    """The model's scores equal those of the model that serves."""


class ChangedModelError(PushRefusedError):
    """The model's files are not those that infra validation has run."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model to push, and the files that its version has beside it.

    Attributes:
      model_path: The SavedModel.
      manifest: The manifest, with the model's lineage; `model_uri` is the model's URI.
      validated: The checksums of the SavedModel's files as they were validated.
      catalog_uri: The Catalog artifact; its tables are copied into the version.
      config_json: The config that the model was trained with.
      requests: Serialized raw tf.Examples for the warm-up records; if empty, the version has no warm-up records.
      item_id: The feature that is the item's id, for warm-up records that rank; None for no such records.
    """

    model_path: str
    manifest: Manifest
    validated: Mapping[str, str]
    catalog_uri: str
    config_json: str
    requests: Sequence[bytes]
    item_id: str | None = None


@dataclasses.dataclass(frozen=True)
class Objections:
    """What speaks against a push, and why a person forces it.

    Attributes:
      refusals: The quality gate's refusals, one sentence each; if not empty, `force_reason` is required.
      unchanged: Why the model counts as unchanged, which requires `force_reason`; empty if it does not.
      force_reason: Why the model is pushed although it was refused; recorded in the manifest, with the refusals.
    """

    refusals: tuple[str, ...] = ()
    unchanged: str = ""
    force_reason: str = ""


class Pushed(NamedTuple):
    """The result of a push.

    Attributes:
      version: The model's version.
      note: A remark about the version; empty for an ordinary push.
      forced: The reason and the refusals in the version's manifest, if its push was forced.
    """

    version: int
    note: str = ""
    forced: Forced | None = None


def push(candidate: Candidate, serving_root: str, keep_versions: int, objections: Objections = Objections()) -> Pushed:
    """Copies a SavedModel to the next version of a serving folder, then removes superfluous versions.

    Args:
      candidate: The model.
      serving_root: The serving folder.
      keep_versions: The number of highest versions to keep.
      objections: What speaks against the push.

    Returns:
      The version: one above the highest. If this model is a version already (its push was killed after its work was
      done, or only its gates ran again), that version: an old model never becomes the newest. Checksums of its files,
      not its URI, decide whether it is. A model that serves, but whose files are no longer those that were pushed, is
      pushed again.

    Raises:
      StaleBaselineError: If the manifest's `baseline` is not the model that serves.
      UnchangedModelError: If the model counts as unchanged, and no reason is given.
      OlderModelError: If the model that serves was trained on later spans, and no reason is given.
      ChangedModelError: If the files, or their copies, are not those that were validated.
      LostClaimError: If another process has claimed the workspace meanwhile.
    """
    uri = candidate.manifest.model_uri
    assert uri is not None
    _check_validated(candidate, candidate.model_path)
    with locked(serving_root):
        check_locked()
        manifests, existing = history(serving_root), versions(serving_root)
        own = versions_with(manifests, uri, candidate.model_path)
        newest = max(existing, default=0)
        wrong = _what_is_wrong(serving_root, own[-1], existing) if own else ""
        if own and (not wrong or own[-1] < newest):
            older = f"pushed before this run: version {newest} serves" if newest > own[-1] else ""
            forced = manifests[own[-1]].forced if own[-1] in existing else None
            pushed = Pushed(own[-1], "; ".join(filter(None, (older, wrong))), forced)
        else:
            others = {v: m for v, m in manifests.items() if m.model_uri is not None and v not in own}
            _check_baseline(serving_root, candidate.manifest.baseline, others)
            forced = _forced(objections, _older_than_serving(serving_root, manifests, candidate.manifest))
            version = _add(candidate, serving_root, forced)
            pushed = Pushed(version, f"in place of version {own[-1]}: {wrong}" if own else "", forced)
        if removed := remove_old(serving_root, keep_versions):
            logging.info("removed the versions %s (%s)", removed, serving_root)
        return pushed


def same_as_serving(largest_change: float | None) -> str:
    """Returns why a model counts as unchanged: its scores equal those of the model that serves; empty if it does not.

    Args:
      largest_change: The largest relative difference of a score, measured by infra validation; None if no model serves.
    """
    if largest_change is None or largest_change > SAME_SCORES:
        return ""
    return (
        f"a new version's scores must differ from the baseline's by more than {SAME_SCORES:g} of their value. "
        f"Received: {largest_change:.1e} at most. `push.unchanged: true`, or `wdr run --force-push --reason TEXT`, "
        "pushes it anyway"
    )


def _add(candidate: Candidate, serving_root: str, forced: Forced | None) -> int:
    """Adds the version with all its files; returns its number."""
    name = os.path.basename(serving_root.rstrip("/"))

    def fill(folder: str) -> None:
        storage.copy_folder(candidate.model_path, folder)
        _check_validated(candidate, folder)
        extra = os.path.join(folder, EXTRA_ASSETS)
        storage.copy_folder(candidate.catalog_uri, os.path.join(extra, CATALOG_FOLDER))
        storage.write_text(os.path.join(extra, CONFIG_FILE), candidate.config_json)
        if candidate.requests:
            write_warmup(folder, name, candidate.requests, candidate.item_id)

    return add_version(serving_root, fill, dataclasses.replace(candidate.manifest, forced=forced))


def _forced(objections: Objections, older: str) -> Forced | None:
    """Returns the record of a forced push; None if nothing refuses the model.

    Args:
      objections: What speaks against the push.
      older: Why the model is older than the one that serves; empty if it is not.

    Raises:
      OlderModelError, UnchangedModelError: If the push itself refuses the model, and no reason is given.
    """
    of_push = {OlderModelError: older, UnchangedModelError: objections.unchanged}
    for error, why in of_push.items():
        if why and not objections.force_reason:
            raise error(why)
    refusals = (*objections.refusals, *filter(None, of_push.values()))
    return Forced(user(), objections.force_reason, refusals) if refusals else None


def _older_than_serving(serving_root: str, manifests: Mapping[int, Manifest], candidate: Manifest) -> str:
    """Returns why a model is older than the one that serves, as after the run of a past day; empty if it is not.

    Args:
      serving_root: The serving folder.
      manifests: The manifests of its versions, oldest first, as returned by `history`.
      candidate: The model's manifest.
    """
    serves, newest = newest_span(manifests), candidate.newest_span
    if serves is None or newest is None or newest >= serves:
        return ""
    return (
        f"a pushed model's newest span must be that of the model that serves, {serves}, or a later one. Received: "
        f"{newest} ({serving_root}). `wdr run --force-push --reason TEXT` pushes it anyway"
    )


def _what_is_wrong(serving_root: str, version: int, existing: Sequence[int]) -> str:
    """Returns how a pushed version was changed or removed since; empty if it is intact."""
    if version not in existing:
        return "removed since, as newer versions were pushed"
    return damage(serving_root, version)


def _check_validated(candidate: Candidate, folder: str) -> None:
    """Raises ChangedModelError if a folder's files, a model's own or a copy's, are not those that were validated."""
    if wrong := differences(candidate.validated, checksums(folder)):
        raise ChangedModelError(
            "a pushed model's files must be those that infra validation has run. "
            f"Received: {', '.join(wrong)} ({candidate.model_path})"
        )


def _check_baseline(serving_root: str, baseline: Baseline | None, others: Mapping[int, Manifest]) -> None:
    """Raises StaleBaselineError if a candidate model was compared with another model than the one that serves.

    Args:
      serving_root: The serving folder.
      baseline: The baseline that the candidate model was compared with.
      others: The manifests of the pushed versions of other models than the candidate, by version, oldest first.
    """
    if baseline is None:
        return
    version = max(others, default=None)
    serving = Manifest() if version is None else others[version]
    known = None if baseline.version is None else others.get(baseline.version)
    held_against = known or Manifest(model_uri=baseline.model_uri)
    if not is_same_model(held_against, serving):
        now = "none" if version is None else f"{serving.model_uri}, version {version}"
        raise StaleBaselineError(
            "a candidate must be held against the model that serves, and another one serves by now; "
            f"run again. Received: {baseline.model_uri}, now {now} ({serving_root})"
        )
