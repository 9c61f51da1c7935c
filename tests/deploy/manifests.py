"""Loads the deploy files as data, and validates them by the published schemas of their kinds."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml
from kubernetes import client
from kubernetes.client import Configuration

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_SCHEMAS = Path(__file__).parent / "schemas"

#: Schemas of plain types, by the client's names. `object` also covers int-or-string.
_PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string"},
    "object": {},
}

#: For each apiVersion, the name prefix of the client's models.
_PREFIXES = {
    "v1": "V1",
    "apps/v1": "V1",
    "policy/v1": "V1",
    "networking.k8s.io/v1": "V1",
    "autoscaling/v2": "V2",
}


@functools.cache
def kubernetes_files() -> list[Path]:
    """Returns all files with objects of Kubernetes, KServe, or Flink's or Spark's operator."""
    found = sorted(path for path in DEPLOY.rglob("*.yaml") if "apiVersion:" in path.read_text(encoding="utf-8"))
    return [path for path in found if path.name != "kustomization.yaml"]


@functools.cache
def documents(path: Path) -> list[Any]:
    """Returns a file's documents; they are cached, so a test must copy one before changing it."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def objects(kind: str) -> list[Any]:
    """Returns all objects of a kind, in the order of their files' paths."""
    return [found for path in kubernetes_files() for found in documents(path) if found["kind"] == kind]


def named(kind: str, name: str) -> Any:
    (found,) = (each for each in objects(kind) if each["metadata"]["name"] == name)
    return found


def pods() -> dict[str, Any]:
    """Returns the pod specs of all long-running workloads, by name; KServe's has its container under `model`."""
    workloads = [*objects("Deployment"), *objects("StatefulSet")]
    found = {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in workloads}
    return found | {each["metadata"]["name"]: each["spec"]["predictor"] for each in objects("InferenceService")}


def container(pod: Any) -> Any:
    """Returns a pod's only container."""
    if "model" in pod:
        return pod["model"]
    (found,) = pod["containers"]
    return found


def flags(arguments: list[str]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments if argument.startswith("--"))


def errors(document: Any) -> list[str]:
    """Returns the violations of its schema by an object of Kubernetes, KServe, or Flink's or Spark's operator."""
    if document["kind"] in _OTHERS:
        schema = _OTHERS[document["kind"]]()
    else:
        schema = _reference(_PREFIXES[document["apiVersion"]] + document["kind"])
    return _errors({**schema, "$defs": _definitions()}, document)


def compose_errors(document: Any) -> list[str]:
    """Returns the violations of the Compose Specification by a Docker Compose file."""
    return _errors(json.loads((_SCHEMAS / "compose_spec.json").read_text(encoding="utf-8")), document)


def _errors(schema: Any, document: Any) -> list[str]:
    found = jsonschema_rs.validator_for(schema).iter_errors(document)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in found]


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _type(name: str) -> dict[str, Any]:
    """Returns the schema of a type by the client's name for it: `list[V1Container]`, `dict(str, str)`, `int` …"""
    if found := re.fullmatch(r"list\[(.*)\]", name):
        return {"type": "array", "items": _type(found[1])}
    if found := re.fullmatch(r"dict\(str, (.*)\)", name):
        return {"type": "object", "additionalProperties": _type(found[1])}
    return _PLAIN[name] if name in _PLAIN else _reference(name)


def _model(name: str) -> dict[str, Any]:
    """Returns the schema of one of the client's models; a field that rejects None is required."""
    model = getattr(client, name)
    properties = {model.attribute_map[field]: _type(kind) for field, kind in model.openapi_types.items()}
    blank = model.__new__(model)
    blank.local_vars_configuration = Configuration()
    return {
        "type": "object",
        "properties": properties,
        "required": [model.attribute_map[field] for field in model.openapi_types if not _takes_none(blank, field)],
        "additionalProperties": False,
    }


def _takes_none(blank: Any, field: str) -> bool:
    try:
        setattr(blank, field, None)
    except ValueError:
        return False
    return True


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rsplit("/", 1)[-1]
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


@functools.cache
def _definitions() -> dict[str, Any]:
    """Returns the schemas of all models that the manifests' kinds refer to."""
    open_names = [
        "V1Pod",
        "V1PodSpec",
        "V1ConfigMap",
        "V1ServiceSpec",
        "V1StatefulSetSpec",
        *(_PREFIXES[each["apiVersion"]] + each["kind"] for each in _plain_objects()),
    ]
    found: dict[str, Any] = {}
    while open_names:
        name = open_names.pop()
        if name not in found:
            found[name] = _model(name)
            open_names += _references(found[name])
    return found


def _plain_objects() -> list[Any]:
    every = [each for path in kubernetes_files() for each in documents(path)]
    return [each for each in every if each["kind"] not in _OTHERS]


def _inference_service() -> dict[str, Any]:
    """Returns KServe's schema: its predictor is a pod spec, and its model a container, each with more fields."""
    own = json.loads((_SCHEMAS / "kserve_inference_service.json").read_text(encoding="utf-8"))
    container = _model("V1Container")["properties"] | own["model"]
    model = {"type": "object", "properties": container, "additionalProperties": False}
    pod = _model("V1PodSpec")["properties"] | own["predictor"] | {"model": model}
    predictor = {"type": "object", "properties": pod, "additionalProperties": False}
    return _object({"predictor": predictor}, required=["predictor"])


def _flink_deployment() -> dict[str, Any]:
    """Returns the schema of Flink's operator, whose pod templates are Kubernetes' pods."""
    own = json.loads((_SCHEMAS / "flink_deployment.json").read_text(encoding="utf-8"))
    for part in (own, own["jobManager"]["properties"], own["taskManager"]["properties"]):
        part["podTemplate"] = _reference("V1Pod")
    return _object(own, required=[])


def _spark_cluster() -> dict[str, Any]:
    """Returns the schema of Spark's operator, whose master and workers are Kubernetes' stateful sets and services."""
    own = json.loads((_SCHEMAS / "spark_cluster.json").read_text(encoding="utf-8"))
    metadata, service = _reference("V1ObjectMeta"), _reference("V1ServiceSpec")
    # The operator adds the fields that Kubernetes requires.
    stateful_set = {key: value for key, value in _model("V1StatefulSetSpec").items() if key != "required"}
    properties = {
        "serviceMetadata": metadata,
        "serviceSpec": service,
        "statefulSetMetadata": metadata,
        "statefulSetSpec": stateful_set,
    }
    part = {"type": "object", "properties": properties, "additionalProperties": False}
    required = ["clusterTolerations", "runtimeVersions"]
    return _object({**own, "masterSpec": part, "workerSpec": part}, required=required)


def _object(spec: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """Returns the schema of an object whose `spec` has these properties."""
    schema = {"type": "object", "properties": spec, "required": required, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"apiVersion": {}, "kind": {}, "metadata": _reference("V1ObjectMeta"), "spec": schema},
        "required": ["metadata", "spec"],
        "additionalProperties": False,
    }


#: By kind, the schemas of objects that are not Kubernetes' own.
_OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    "InferenceService": _inference_service,
    "FlinkDeployment": _flink_deployment,
    "SparkCluster": _spark_cluster,
}


def serving_rules() -> dict[str, str]:
    """Returns the alerts' expressions, by alert."""
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    (group,) = (group for group in groups if group["name"] == "wide-deep-ranker-serving")
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def dashboard_expressions() -> dict[str, str]:
    """Returns the expressions of the Grafana dashboard, by panel and query."""
    panels = json.loads((DEPLOY / "prometheus" / "dashboard.json").read_text())["panels"]
    return {f"{panel['title']} {query['refId']}": query["expr"] for panel in panels for query in panel["targets"]}
