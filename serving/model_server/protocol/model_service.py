"""ModelService: reports the states of versions, and takes a new configuration."""

from __future__ import annotations

import os

from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.model_server.engine.manager import Manager
from serving.model_server.engine.models import ModelConfig, local_path
from serving.model_server.errors import invalid, not_found
from serving.model_server.protocol.calls import Call


class ModelStatus:
    """Answers the requests of ModelService and of REST's status page."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def status(
        self, request: get_model_status_pb2.GetModelStatusRequest, call: Call
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """ModelService.GetModelStatus."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        versions = self._manager.versions(spec.name)
        choice = spec.WhichOneof("version_choice")
        if choice is not None:
            number = self._manager.number(spec)
            versions = [version for version in versions if version.number == number]
            if not versions:
                self._manager.check_started()
                raise not_found(f"Could not find version {number} of model {spec.name}")
        if not versions:
            self._manager.check_started()
            raise not_found(f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in versions:
            found = response.model_version_status.add(version=version.number, state=version.state)
            if version.error:
                found.status.error_code = version.error.code.value[0]
                found.status.error_message = version.error.message
            else:
                found.status.error_code = 0
        return response

    async def reload(
        self, request: model_management_pb2.ReloadConfigRequest, call: Call
    ) -> model_management_pb2.ReloadConfigResponse:
        """ModelService.HandleReloadConfigRequest: sets the models to serve from now on."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        await self._manager.reconfigure(from_list(request.config.model_config_list))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def from_list(configs: model_server_config_pb2.ModelConfigList) -> list[ModelConfig]:
    """Converts the models of TF Serving's configuration.

    Raises:
      ServingError: If a model cannot be served, or is listed more than once.
    """
    found = [from_proto(config) for config in configs.config]
    if len({config.name for config in found}) < len(found):
        raise invalid("Illegal to list model multiple times in config list")
    return found


def from_proto(config: model_server_config_pb2.ModelConfig) -> ModelConfig:
    """Converts one model of TF Serving's configuration.

    Raises:
      ServingError: If it cannot be served.
    """
    if not config.name:
        raise invalid("a model must have a name")
    if config.model_platform not in ("", "tensorflow"):
        raise invalid(f"model_platform must be tensorflow. Received: {config.model_platform} ({config.name})")
    base_path = local_path(config.base_path)
    if not os.path.isabs(base_path):
        raise invalid(f"Expected model {config.name} to have an absolute path; got base_path()={config.base_path}")
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    specific = tuple(policy.specific.versions) if kind == "specific" else ()
    if kind == "specific" and not specific:
        raise invalid(f"a `specific` version policy must name a version ({config.name})")
    num_latest = None if kind == "all" else (policy.latest.num_versions or 1) if kind == "latest" else 1
    return ModelConfig(config.name, base_path, num_latest, specific, dict(config.version_labels))
