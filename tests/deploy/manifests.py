"""The deploy files as data, and the published schemas of their kinds."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml
from kubernetes import client
from kubernetes.client import Configuration

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_SCHEMAS = Path(__file__).parent / "schemas"

#: By the client's names of plain types, their schema. `object` stands for int-or-string too.
_PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string"},
    "object": {},
}

#: By apiVersion, how the client's models of it are called.
_PREFIXES = {
    "v1": "V1",
    "apps/v1": "V1",
    "policy/v1": "V1",
    "networking.k8s.io/v1": "V1",
    "autoscaling/v2": "V2",
}


@functools.cache
def kubernetes_files() -> list[Path]:
    """Every file of Kubernetes' and KServe's objects."""
    found = sorted(path for path in DEPLOY.rglob("*.yaml") if "apiVersion:" in path.read_text(encoding="utf-8"))
    return [path for path in found if path.name != "kustomization.yaml"]


@functools.cache
def documents(path: Path) -> list[Any]:
    """A file's documents; a test that changes one copies it."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def objects(kind: str) -> list[Any]:
    """All objects of a kind, in the order of their files' paths."""
    return [found for path in kubernetes_files() for found in documents(path) if found["kind"] == kind]


def named(kind: str, name: str) -> Any:
    (found,) = (each for each in objects(kind) if each["metadata"]["name"] == name)
    return found


def pods() -> dict[str, Any]:
    """By name, the pod specifications of what runs all the time; KServe's has its container as `model`."""
    found = {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in objects("Deployment")}
    return found | {each["metadata"]["name"]: each["spec"]["predictor"] for each in objects("InferenceService")}


def container(pod: Any) -> Any:
    """A pod's only container."""
    if "model" in pod:
        return pod["model"]
    (found,) = pod["containers"]
    return found


def flags(arguments: list[str]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments if argument.startswith("--"))


def errors(document: Any) -> list[str]:
    """What of a Kubernetes or KServe object is not as its schema says."""
    if document["kind"] == "InferenceService":
        schema = _inference_service()
    else:
        schema = _reference(_PREFIXES[document["apiVersion"]] + document["kind"])
    return _errors({**schema, "$defs": _definitions()}, document)


def compose_errors(document: Any) -> list[str]:
    """What of a file of docker compose is not as the Compose Specification says."""
    return _errors(json.loads((_SCHEMAS / "compose_spec.json").read_text(encoding="utf-8")), document)


def _errors(schema: Any, document: Any) -> list[str]:
    found = jsonschema_rs.validator_for(schema).iter_errors(document)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in found]


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _type(name: str) -> dict[str, Any]:
    """The schema of a type by the client's name of it: `list[V1Container]`, `dict(str, str)`, `int` …"""
    if found := re.fullmatch(r"list\[(.*)\]", name):
        return {"type": "array", "items": _type(found[1])}
    if found := re.fullmatch(r"dict\(str, (.*)\)", name):
        return {"type": "object", "additionalProperties": _type(found[1])}
    return _PLAIN[name] if name in _PLAIN else _reference(name)


def _model(name: str) -> dict[str, Any]:
    """The schema of one of the client's models; required is what it does not take None for."""
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
    """The models that the manifests' kinds reach."""
    open_names = [
        "V1PodSpec",
        "V1ConfigMap",
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
    return [each for each in every if each["kind"] != "InferenceService"]


def _inference_service() -> dict[str, Any]:
    """KServe's kind: its predictor is a pod's specification, and its model a container, each with more fields."""
    own = json.loads((_SCHEMAS / "kserve_inference_service.json").read_text(encoding="utf-8"))
    container = _model("V1Container")["properties"] | own["model"]
    model = {"type": "object", "properties": container, "additionalProperties": False}
    pod = _model("V1PodSpec")["properties"] | own["predictor"] | {"model": model}
    predictor = {"type": "object", "properties": pod, "additionalProperties": False}
    spec = {
        "type": "object",
        "properties": {"predictor": predictor},
        "required": ["predictor"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"apiVersion": {}, "kind": {}, "metadata": _reference("V1ObjectMeta"), "spec": spec},
        "required": ["metadata", "spec"],
        "additionalProperties": False,
    }
