"""TF Serving's configuration: its own protos parse it, and the files agree on names, paths and ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from pipeline.cli.rank_service import rank_service
from pipeline.registry.tf_serving_config import write_config
from pipeline.workspace import Workspace
from transform.config.config_file import load_config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "tf-serving"
CONFIGS = ("models.config", "batching.config", "monitoring.config")

_FIELD = descriptor_pb2.FieldDescriptorProto

#: Messages of TF Serving's `session_bundle_config.proto` and `monitoring_config.proto`, which `tensorflow-serving-api`
#: lacks: by message, each field's name, number and type.
PUBLISHED: dict[str, list[tuple[str, int, Any]]] = {
    "BatchingParameters": [
        ("max_batch_size", 1, ".google.protobuf.Int64Value"),
        ("batch_timeout_micros", 2, ".google.protobuf.Int64Value"),
        ("max_enqueued_batches", 3, ".google.protobuf.Int64Value"),
        ("num_batch_threads", 4, ".google.protobuf.Int64Value"),
        ("thread_pool_name", 5, ".google.protobuf.StringValue"),
        ("pad_variable_length_inputs", 7, _FIELD.TYPE_BOOL),
    ],
    "PrometheusConfig": [("enable", 1, _FIELD.TYPE_BOOL), ("path", 2, _FIELD.TYPE_STRING)],
    "MonitoringConfig": [("prometheus_config", 1, ".tensorflow.serving.PrometheusConfig")],
}


def published(name: str) -> Any:
    """Returns a new message of one of the published types."""
    file = descriptor_pb2.FileDescriptorProto(name="published.proto", package="tensorflow.serving", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for message, fields in PUBLISHED.items():
        entry = file.message_type.add(name=message)
        for field, number, kind in fields:
            added = entry.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL)
            if isinstance(kind, str):
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))()


def text_proto(name: str, message: Any) -> Any:
    return text_format.Parse((FOLDER / name).read_text(encoding="utf-8"), message)


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model() -> Any:
    """The only model of `models.config`."""
    (model,) = text_proto("models.config", model_server_config_pb2.ModelServerConfig()).model_config_list.config
    return model


@pytest.fixture(scope="module")
def pod() -> Any:
    return read("kubernetes/deployment.yaml")["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod: Any) -> Any:
    (container,) = pod["spec"]["containers"]
    return container


def flags(arguments: list[str]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def test_the_model_is_the_config_s_and_no_label_can_lose_its_version(model: Any) -> None:
    """A label does not keep its version loaded: `latest` unloads it when newer versions come, `specific` does not."""
    assert model.name == load_config(ROOT / "configs" / "app_store.yaml").name
    assert model.base_path == f"/models/{model.name}"
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)


def test_the_models_config_is_what_the_command_writes_of_one_version(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    add_version(str(workspace.serving("app_store")), lambda folder: None, Manifest())
    write_config(workspace, str(tmp_path / "models.config"), "app_store", {})
    assert (tmp_path / "models.config").read_text() == (FOLDER / "models.config").read_text()


def test_batches_are_bounded_and_nobody_waits_for_them() -> None:
    batching = text_proto("batching.config", published("BatchingParameters"))
    assert batching.HasField("batch_timeout_micros")
    assert batching.batch_timeout_micros.value == 0
    assert batching.max_batch_size.value > 1
    assert 0 < batching.max_enqueued_batches.value <= 16
    assert batching.num_batch_threads.value > 0
    assert not batching.pad_variable_length_inputs


def test_a_field_that_is_not_published_is_seen() -> None:
    with pytest.raises(text_format.ParseError, match='has no field named "max_batch"'):
        text_format.Parse("max_batch { value: 8 }", published("BatchingParameters"))


def test_who_reads_the_metrics_reads_them_where_they_are(pod: Any) -> None:
    monitoring = text_proto("monitoring.config", published("MonitoringConfig")).prometheus_config
    assert monitoring.enable
    jobs = {job["job_name"]: job for job in read("prometheus.yaml")["scrape_configs"]}
    assert jobs["tf-serving"]["metrics_path"] == monitoring.path
    assert jobs["tf-serving"]["static_configs"] == [{"targets": ["tf-serving:8501"]}]
    assert jobs["rank-service"] == {"job_name": "rank-service", "static_configs": [{"targets": ["rank-service:8080"]}]}
    annotations = pod["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == monitoring.path
    assert annotations["prometheus.io/port"] == "8501"


def test_compose_and_kubernetes_start_the_same_server(container: Any) -> None:
    compose = read("compose.yaml")["services"]["tf-serving"]
    of_pod = flags(container["args"])
    processors = container["resources"]["limits"]["cpu"]
    assert of_pod.pop("tensorflow_intra_op_parallelism") == processors
    assert of_pod.pop("tensorflow_inter_op_parallelism") == processors
    assert of_pod == flags(compose["command"])
    (image,) = read("kustomization.yaml")["images"]
    assert container["image"] == image["name"]
    assert compose["image"] == f"{image['name']}:{image['newTag']}"
    assert container["command"] == compose["entrypoint"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/models", "/config"}
    assert [volume.rsplit(":", 2)[-2] for volume in compose["volumes"]] == ["/models", "/config"]


def test_every_file_that_a_flag_names_is_mounted(container: Any) -> None:
    named = {value for value in flags(container["args"]).values() if value.startswith("/config/")}
    assert named == {"/config/models.config", "/config/monitoring.config"}
    kustomization = read("kustomization.yaml")
    (config_map,) = kustomization["configMapGenerator"]
    assert sorted(config_map["files"]) == sorted(CONFIGS)
    assert all((FOLDER / name).exists() for name in CONFIGS)


def test_ports_are_the_same_everywhere(container: Any) -> None:
    compose = read("compose.yaml")["services"]
    arguments = flags(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": int(arguments["port"]), "rest": int(arguments["rest_api_port"])}
    service = read("kubernetes/service.yaml")["spec"]
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    assert compose["tf-serving"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports.values()]
    assert all(port.startswith("127.0.0.1:") for other in compose.values() for port in other["ports"])


def test_probes_ask_for_the_model(model: Any, container: Any) -> None:
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": f"/v1/models/{model.name}/metadata", "port": "rest"}


def test_compose_has_an_init_before_tf_serving_and_a_user_by_number() -> None:
    """TF Serving has no SIGTERM handler, so as PID 1 it would be killed at the end of `stop_grace_period`."""
    service = read("compose.yaml")["services"]["tf-serving"]
    assert service["init"] is True
    assert service["entrypoint"] == ["tensorflow_model_server"]  # no shell between the init and the server
    assert service["user"] == "10001:10001"


def test_prometheus_of_compose_reads_the_alerts() -> None:
    volumes = dict(volume.split(":")[:2] for volume in read("compose.yaml")["services"]["prometheus"]["volumes"])
    (rules,) = read("prometheus.yaml")["rule_files"]
    (alerts,) = (path for path, place in volumes.items() if place == f"/etc/prometheus/{rules}")
    assert (FOLDER / alerts).resolve() == ROOT / "deploy" / "prometheus" / "alerts.yaml"


def test_the_ranking_service_starts_as_compose_says(model: Any) -> None:
    service = read("compose.yaml")["services"]["rank-service"]
    name, *arguments = service["command"]
    assert name == rank_service.name
    options = rank_service.make_context(name, arguments).params
    assert (options["model"], options["server"]) == (model.name, "tf-serving:8500")
    assert service["ports"] == [f"127.0.0.1:{options['port']}:{options['port']}"]
