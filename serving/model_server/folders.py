"""What was probably meant by a folder of models in which there is no version."""

from __future__ import annotations

import os
from collections.abc import Iterable

from serving.model_server.engine.models import ModelConfig
from transform.errors import UserError
from transform.files.version_layout import SAVED_MODEL_FILE, find_model_folders

#: The folders by which a workspace of `wdr run` is recognized, and the one in it that has its models.
_OF_A_WORKSPACE, _SERVING = ("artifacts", "metadata"), "serving"

#: The most folders that a message names.
_MAX_NAMED = 3


def check_folders(models: str | None, configs: Iterable[ModelConfig]) -> list[ModelConfig]:
    """Checks that the folders of models can be meant as such.

    A server may start before the first version is pushed: a folder without a version is an error only if another one
    was probably meant.

    Args:
      models: The folder of models, `--models`; None without it.
      configs: The models: those in that folder, and those that were named.

    Returns:
      The models that have no version yet.

    Raises:
      UserError: If a folder is a workspace, a version, or a folder of models where one of versions is meant, or the
        reverse.
    """
    waiting = [config for config in configs if config.folder not in find_model_folders(config.folder, 0)]
    if models is not None:
        _check_models(os.path.abspath(models))
    for config in waiting:
        if models is None or os.path.dirname(config.folder) != os.path.abspath(models):
            _check_model(config)
    return waiting


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
