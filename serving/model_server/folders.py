"""What was probably meant by a folder of models in which there is no version."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from serving.model_server.engine.models import ModelConfig
from serving.model_server.guard.background import BoundedReads
from transform.errors import UserError
from transform.files.version_layout import SAVED_MODEL_FILE, find_model_folders

#: The folders by which a workspace of `wdr run` is recognized, and the one in it that has its models.
_OF_A_WORKSPACE, _SERVING = ("artifacts", "metadata"), "serving"

#: The most folders that a message names.
_MAX_NAMED = 3

#: The time limit of each look; a local folder takes milliseconds.
_SECONDS = 2.0


async def check_folders(models: str | None, configs: Sequence[ModelConfig], reads: BoundedReads) -> list[ModelConfig]:
    """Checks that the folders of models can be meant as such.

    A server may start before the first version is pushed: a folder without a version is an error only if another one
    was probably meant. A folder that hangs is not judged; the manager logs it.

    Args:
      models: The folder of models, `--models`; None without it.
      configs: The models: those in that folder, and those that were named.
      reads: Runs the looks, each in a thread with a time limit.

    Returns:
      The models that have no version yet.

    Raises:
      UserError: If a folder is a workspace, a version, or a folder of models where one of versions is meant, or the
        reverse.
    """
    looks = (_look(reads, config.folder, _has_version, config.folder) for config in configs)
    folder = os.path.abspath(models) if models is not None else None
    above = [_look(reads, folder, _check_models, folder)] if folder is not None else []
    found = await asyncio.gather(*looks, *above)
    waiting = [config for config, has_version in zip(configs, found, strict=False) if has_version is False]
    named = [config for config in waiting if os.path.dirname(config.folder) != folder]
    await asyncio.gather(*(_look(reads, config.folder, _check_model, config) for config in named))
    return waiting


async def _look(reads: BoundedReads, path: str, function: Callable[..., object], *arguments: object) -> object:
    """Runs a function that reads a folder; returns None if the folder hangs or cannot be read."""
    try:
        return await reads.within(_SECONDS, "a folder must be read", path, function, *arguments)
    except OSError:
        return None


def _has_version(folder: str) -> bool:
    return os.path.isdir(folder) and bool(find_model_folders(folder, 0))


def _check_models(folder: str) -> None:
    """Raises UserError if a folder is no folder of models, but one at another level is."""
    rule = "`--models` must be a folder of models, each of them a folder of versions"
    name = os.path.basename(folder)
    if find_model_folders(folder, 0):
        raise UserError(f"{rule}. Received: one model's folder of versions; give `--model {name}={folder}` ({folder})")
    if find_model_folders(folder, 1):
        return
    if found := list(find_model_folders(folder)):
        meant = " or ".join(dict.fromkeys(f"`--models {os.path.dirname(place)}`" for place in found[:_MAX_NAMED]))
        raise UserError(f"{rule}. Received: {folder}, none of whose folders has a version; give {meant}")
    if any(os.path.isdir(os.path.join(folder, part)) for part in _OF_A_WORKSPACE):
        meant = os.path.join(folder, _SERVING)
        raise UserError(f"{rule}. Received: the workspace {folder}, which has no version yet; give `--models {meant}`")


def _check_model(config: ModelConfig) -> None:
    """Raises UserError if a model's folder has no version, but is one, or is above folders that have some."""
    rule = f"the folder of the model {config.name!r} must be a folder of versions"
    if os.path.isfile(os.path.join(config.folder, SAVED_MODEL_FILE)):
        meant = os.path.dirname(config.folder)
        raise UserError(f"{rule}. Received: the folder of one version, {config.folder}; give {meant}")
    if os.path.isdir(config.folder) and (found := list(find_model_folders(config.folder))):
        raise UserError(f"{rule}. Received: {config.folder}, which has none; give {' or '.join(found[:_MAX_NAMED])}")
