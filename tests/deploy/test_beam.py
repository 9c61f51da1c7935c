"""The files for Beam on a cluster name one version of each program, and the options that they need are accepted."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest
import yaml

from pipeline.beam_options import check_beam
from pipeline.compile import kubeflow
from tests import prism
from tests.deploy import manifests
from tests.deploy.manifests import DEPLOY, ROOT, container, named, pods
from tests.pages import FENCE, text_of
from tests.transform.small_config import small_config
from transform.config.beam import values_of

README = DEPLOY / "beam" / "README.md"
SECTIONS = [
    yaml.safe_load(body)["beam"] for _, _, language, body in FENCE.findall(text_of(README)) if language == "yaml"
]


def locked(package: str) -> str:
    (version,) = re.findall(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return str(version)


def worker_pool() -> Any:
    template = named("FlinkDeployment", "beam-flink")["spec"]["taskManager"]["podTemplate"]["spec"]
    main, pool = template["containers"]
    assert main == {"name": "flink-main-container"}
    return pool


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section["args"][0])
def test_a_config_takes_the_options(section: dict[str, Any]) -> None:
    check_beam(small_config(("beam.args", section["args"])).beam)


def test_there_is_a_section_for_each_runner() -> None:
    runners = [values_of(section["args"], "runner") for section in SECTIONS]
    assert runners == [["PortableRunner"], ["PortableRunner"], ["PortableRunner"], ["DataflowRunner"]]


def test_the_job_server_is_of_the_cluster_s_flink_and_of_the_pipeline_s_beam() -> None:
    cluster = named("FlinkDeployment", "beam-flink")["spec"]
    version = cluster["flinkVersion"].removeprefix("v").replace("_", ".")
    assert cluster["image"] == f"flink:{version}"
    server = container(pods()["beam-job-server"])
    assert server["image"] == f"apache/beam_flink{version}_job_server:{locked('apache-beam')}"
    assert f"--flink-master={named('FlinkDeployment', 'beam-flink')['metadata']['name']}-rest:8081" in server["args"]
    dockerfile = (DEPLOY / "beam" / "Dockerfile").read_text()
    assert f"FROM apache/beam_python3.11_sdk:{locked('apache-beam')} AS beam" in dockerfile


def test_prism_is_of_the_pipeline_s_beam_and_at_the_ports_of_its_section() -> None:
    text, args = text_of(README), SECTIONS[2]["args"]
    assert f"{prism.MODULE}@v{locked('apache-beam')}\n" in text
    assert values_of(args, "job_endpoint") == ["localhost:" + re.findall(r"-job_port=(\d+)", text)[-1]]
    assert values_of(args, "environment_config") == ["localhost:" + re.findall(r"--service_port=(\d+)", text)[-1]]
    needed = prism.beam_args(8073, 50000, "--job_server_timeout=3600")
    assert tuple(args) == needed  # as in the tests


def test_a_spark_job_server_is_of_the_pipeline_s_beam() -> None:
    assert f"`apache/beam_spark3_job_server:{locked('apache-beam')}`" in text_of(README)


def test_nodes_and_flink_reach_what_they_are_told() -> None:
    args, server = SECTIONS[0]["args"], container(pods()["beam-job-server"])
    service = named("Service", "beam-job-server")
    (jobs,) = (port for port in service["spec"]["ports"] if port["name"] == "jobs")
    assert values_of(args, "job_endpoint") == [f"{service['metadata']['name']}:{jobs['port']}"]
    assert f"--job-host={service['metadata']['name']}" in server["args"]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert f"--job-port={ports['jobs']}" in server["args"]
    assert f"--artifact-port={ports['artifacts']}" in server["args"]
    (pool,) = worker_pool()["ports"]
    assert values_of(args, "environment_config") == [f"localhost:{pool['containerPort']}"]


def test_a_worker_pool_is_the_pipeline_s_image_with_its_user_and_its_volume() -> None:
    pool = worker_pool()
    assert pool["image"] == "wdr"
    init, end, python, flag, module, port = pool["command"]
    assert [init, end, python, flag] == ["tini", "--", "python", "-m"]
    assert importlib.util.find_spec(module) is not None
    assert port == f"--service_port={pool['ports'][0]['containerPort']}"
    user, group = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    assert (pool["securityContext"]["runAsUser"], pool["securityContext"]["runAsGroup"]) == (int(user), int(group))
    paths = {mount["name"]: mount["mountPath"] for mount in pool["volumeMounts"]}
    assert paths["storage"] == kubeflow.STORAGE


def test_a_slot_is_a_task_manager() -> None:
    """So that `--sdk_worker_parallelism` multiplies `--parallelism`, as the page says."""
    settings = named("FlinkDeployment", "beam-flink")["spec"]["flinkConfiguration"]
    assert settings["taskmanager.numberOfTaskSlots"] == "1"


@pytest.mark.parametrize("name", ["beam-flink", "beam-job-server"])
def test_who_may_connect_is_named(name: str) -> None:
    policy = named("NetworkPolicy", name)["spec"]
    assert policy["podSelector"] == {"matchLabels": {"app": name}}
    assert policy["ingress"]
    assert all(rule["from"] for rule in policy["ingress"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("flinkVersion", "v3_0", '"v3_0" is not one of '),
        ("taskManagers", {}, "'taskManagers' was unexpected"),
        ("taskManager", {"podTemplate": {"spec": {"container": []}}}, "'container' was unexpected"),
    ],
)
def test_a_mistake_in_the_cluster_is_seen(key: str, value: Any, message: str) -> None:
    cluster = named("FlinkDeployment", "beam-flink")
    wrong = {**cluster, "spec": {**cluster["spec"], key: value}}
    assert any(message in found for found in manifests.errors(wrong))
