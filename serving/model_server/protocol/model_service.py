"""ModelService: reports the states of versions, and takes a new configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from serving.model_server.engine.models import ModelConfig, ServedVersions
from serving.model_server.errors import invalid, not_found
from serving.model_server.protocol.calls import Call
from serving.model_server.protocol.config_files import from_list


class ModelStatus:
    """Answers the requests of ModelService and of REST's status page."""

    def __init__(self, served: ServedVersions, reconfigure: Callable[[list[ModelConfig]], Awaitable[None]]) -> None:
        """Makes the service.

        Args:
          served: The models and their versions.
          reconfigure: Serves other models from now on, or raises a `ServingError`.
        """
        self._served, self._reconfigure = served, reconfigure

    async def status(
        self, request: get_model_status_pb2.GetModelStatusRequest, call: Call
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """ModelService.GetModelStatus."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        versions, requested = self._served.versions(spec.name), "any versions"
        if spec.WhichOneof("version_choice") is not None:
            number = self._served.number(spec)
            versions, requested = [each for each in versions if each.number == number], f"version {number}"
        if not versions:
            self._served.check_started()
            raise not_found(f"Could not find {requested} of model {spec.name}")
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
        await self._reconfigure(from_list(request.config.model_config_list))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response
