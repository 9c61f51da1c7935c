"""TF Serving's configurations: of the models, in a request or in a file of text format, and of monitoring."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from serving.model_server.engine.models import ModelConfig, local_path
from serving.model_server.errors import ServingError, invalid
from serving.model_server.guard import background
from serving.model_server.logs import log
from transform.errors import UserError

_MAX_BYTES = 16 << 20

#: TF Serving's metrics path, unless the monitoring configuration sets another.
_PROMETHEUS_PATH = "/monitoring/prometheus/metrics"


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


def read_models(path: str) -> list[ModelConfig]:
    """Reads the models of a `ModelServerConfig`.

    Raises:
      UserError: If the file cannot be read, or asks for something that cannot be served.
    """
    config = model_server_config_pb2.ModelServerConfig()
    _parse(path, config)
    if config.WhichOneof("config") != "model_config_list":
        raise UserError(f"a model configuration must have a model_config_list. Received: {path}")
    try:
        return from_list(config.model_config_list)
    except ServingError as error:
        raise UserError(f"{error.message} ({path})") from error


def prometheus_path(path: str) -> str | None:
    """Reads the metrics path of a `MonitoringConfig`; None if metrics are not enabled.

    Raises:
      UserError: If the file cannot be read, or the path does not begin with `/`.
    """
    config = _monitoring_config()
    _parse(path, config)
    found = config.prometheus_config
    if not found.enable:
        return None
    if found.path and not found.path.startswith("/"):
        raise UserError(f"prometheus_config.path must begin with /. Received: {found.path} ({path})")
    return found.path or _PROMETHEUS_PATH


async def follow(
    path: str, seconds: float, models: list[ModelConfig], reconfigure: Callable[[list[ModelConfig]], Awaitable[None]]
) -> None:
    """Reads the models' configuration periodically, forever, and reconfigures the server when it changes.

    A file that cannot be read, or whose models do not load, changes nothing; it is tried again each time.

    Args:
      path: The file.
      seconds: The period.
      models: The configuration in effect.
      reconfigure: Serves other models from now on, or raises a `ServingError`.
    """
    refused = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            found = await background.start(read_models, path)
            if found == models:
                refused = ""  # if the same mistake is made again, it is logged again
                continue
            await reconfigure(found)
        except (UserError, ServingError) as error:
            if str(error) != refused:
                log("error", "a model configuration was refused", path=path, reason=str(error))
            refused = str(error)
        else:
            models, refused = found, ""
            log("info", "a model configuration was taken over", path=path, models=[model.name for model in found])


def _parse(path: str, message: Message) -> None:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise UserError(f"a configuration must have at most {_MAX_BYTES} bytes. Received: {path}")
        text_format.Parse(content.decode(), message)
    except OSError as error:
        raise UserError(f"a configuration must be readable. Received: {path}: {error.strerror}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(f"Error parsing text-format {message.DESCRIPTOR.full_name}: {error} ({path})") from error


#: The file of `MonitoringConfig`, which `tensorflow-serving-api` lacks, as far as this server reads it.
_MONITORING_PROTO = """
name: "monitoring_config.proto" package: "tensorflow.serving" syntax: "proto3"
message_type {
  name: "PrometheusConfig"
  field { name: "enable" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "path" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
}
message_type {
  name: "MonitoringConfig"
  field {
    name: "prometheus_config" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
    type_name: ".tensorflow.serving.PrometheusConfig"
  }
}
"""


def _monitoring_config() -> Message:
    """Makes an empty `tensorflow.serving.MonitoringConfig`."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_MONITORING_PROTO, descriptor_pb2.FileDescriptorProto()))
    descriptor = pool.FindMessageTypeByName("tensorflow.serving.MonitoringConfig")
    found: Message = message_factory.GetMessageClass(descriptor)()
    return found
