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
from tests.deploy.manifests import DEPLOY, ROOT, container, flags, named, pods
from tests.pages import FENCE, text_of
from tests.transform.small_config import small_config
from transform.config.beam import values_of

README = DEPLOY / "beam" / "README.md"
WITHOUT_CLUSTER, *SECTIONS = [
    yaml.safe_load(body)["beam"] for _, _, language, body in FENCE.findall(text_of(README)) if language == "yaml"
]

#: By Beam's version, the Spark in its job server for Spark 3.
SPARK = {"2.77.0": "3.5.0"}


def locked(package: str) -> str:
    (version,) = re.findall(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return str(version)


def spark_cluster() -> Any:
    return named("SparkCluster", "beam-spark")["spec"]


def worker_pod(kind: str) -> Any:
    """Returns the pod spec of Flink's task managers or Spark's workers."""
    if kind == "FlinkDeployment":
        return named(kind, "beam-flink")["spec"]["taskManager"]["podTemplate"]["spec"]
    return spark_cluster()["workerSpec"]["statefulSetSpec"]["template"]["spec"]


def worker_pool(kind: str) -> Any:
    main, pool = worker_pod(kind)["containers"]
    assert main["name"] == {"FlinkDeployment": "flink-main-container", "SparkCluster": "worker"}[kind]
    return pool


def spark_settings() -> dict[str, str]:
    """Returns the settings that Spark's job server gives to Spark."""
    (options,) = (
        each["value"]
        for each in container(pods()["beam-spark-job-server"])["env"]
        if each["name"] == "JAVA_TOOL_OPTIONS"
    )
    return dict(option.removeprefix("-D").split("=", 1) for option in options.split())


def ports_between(policy: Any, direction: str, peer: dict[str, str]) -> set[Any]:
    """Returns the ports that a network policy opens from or to pods with these labels."""
    rules = policy["spec"][direction]
    side = {"ingress": "from", "egress": "to"}[direction]
    (ports,) = (rule["ports"] for rule in rules if rule[side][0].get("podSelector") == {"matchLabels": peer})
    return {port["port"] for port in ports}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section["args"][0])
def test_a_config_takes_the_options(section: dict[str, Any]) -> None:
    check_beam(small_config(("beam.args", section["args"])).beam)


def test_a_config_takes_the_pools() -> None:
    assert small_config(("beam", WITHOUT_CLUSTER)).beam.workers == ("beam-a:50000", "beam-b:50000")


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
    assert values_of(args, "environment_config") == [
        "localhost:" + re.findall(r"beam_workers\.pool --port (\d+)", text)[-1]
    ]
    needed = prism.beam_args(8073, 50000, "--job_server_timeout=3600")
    assert tuple(args) == needed  # as in the tests


def test_the_spark_cluster_is_of_the_job_server_s_spark_and_of_the_pipeline_s_beam() -> None:
    cluster, beam = spark_cluster(), locked("apache-beam")
    versions = cluster["runtimeVersions"]
    assert versions["sparkVersion"] == SPARK[beam]
    image = f"apache/spark:{{{{SPARK_VERSION}}}}-scala{versions['scalaVersion']}-java{versions['jdkVersion']}-ubuntu"
    assert cluster["sparkConf"]["spark.kubernetes.container.image"] == image
    server = container(pods()["beam-spark-job-server"])
    assert server["image"] == f"apache/beam_spark3_job_server:{beam}"
    name = named("SparkCluster", "beam-spark")["metadata"]["name"]
    assert flags(server["args"])["spark-master-url"] == f"spark://{name}-master-svc:7077"


@pytest.mark.parametrize(
    ("section", "name", "kind"),
    [(0, "beam-job-server", "FlinkDeployment"), (1, "beam-spark-job-server", "SparkCluster")],
)
def test_nodes_and_the_cluster_reach_what_they_are_told(section: int, name: str, kind: str) -> None:
    args, server = SECTIONS[section]["args"], container(pods()[name])
    service = named("Service", name)
    (jobs,) = (port for port in service["spec"]["ports"] if port["name"] == "jobs")
    assert values_of(args, "job_endpoint") == [f"{name}:{jobs['port']}"]
    assert f"--job-host={name}" in server["args"]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert f"--job-port={ports['jobs']}" in server["args"]
    assert f"--artifact-port={ports['artifacts']}" in server["args"]
    (pool,) = worker_pool(kind)["ports"]
    assert values_of(args, "environment_config") == [f"localhost:{pool['containerPort']}"]


@pytest.mark.parametrize("kind", ["FlinkDeployment", "SparkCluster"])
def test_a_worker_pool_is_the_pipeline_s_image_with_its_user_and_its_volume(kind: str) -> None:
    pool = worker_pool(kind)
    assert pool["image"] == "wdr"
    init, end, python, flag, module, port = pool["command"]
    assert [init, end, python, flag] == ["tini", "--", "python", "-m"]
    assert importlib.util.find_spec(module) is not None
    assert port == f"--port={pool['ports'][0]['containerPort']}"
    user, group = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    assert (pool["securityContext"]["runAsUser"], pool["securityContext"]["runAsGroup"]) == (int(user), int(group))
    assert worker_pod(kind)["securityContext"] == {"fsGroup": int(group)}
    paths = {mount["name"]: mount["mountPath"] for mount in pool["volumeMounts"]}
    assert paths["storage"] == kubeflow.STORAGE


def test_pools_without_a_cluster_have_that_worker_too() -> None:
    pool, other = container(pods()["beam-pool"]), worker_pool("FlinkDeployment")
    own = {"--host=$(POD_IP)"}  # the cluster's pools are reached by their own pod alone
    assert [each for each in pool["command"] if each not in own] == other["command"]
    same = ("image", "ports", "resources", "volumeMounts")
    assert {key: pool[key] for key in same} == {key: other[key] for key in same}


def test_nodes_are_told_the_name_of_each_pool() -> None:
    """Those of its StatefulSet's pods, which its headless service publishes."""
    stateful_set, service = named("StatefulSet", "beam-pool")["spec"], named("Service", "beam-pool")["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert service["selector"] == stateful_set["selector"]["matchLabels"]
    (port,) = service["ports"]
    names = [f"beam-pool-{number}.{stateful_set['serviceName']}" for number in range(stateful_set["replicas"])]
    comment = (DEPLOY / "beam" / "pools.yaml").read_text().partition("apiVersion")[0]
    (config,) = re.findall(r"workers: (\[.*\])", comment)
    assert yaml.safe_load(config) == [f"{name}:{port['port']}" for name in names]
    small_config(("beam", {"workers": yaml.safe_load(config)}))


def test_a_pool_and_the_nodes_reach_each_other() -> None:
    policy, nodes = named("NetworkPolicy", "beam-pool"), {"sends-beam-jobs": "true"}
    assert ports_between(policy, "ingress", nodes) == {"workers"}
    assert ports_between(policy, "egress", nodes) == {1024}
    ((call_back,),) = [rule["ports"] for rule in policy["spec"]["egress"]]
    assert call_back["endPort"] == 65535


def test_both_clusters_have_the_same_worker_pool() -> None:
    assert worker_pool("FlinkDeployment") == worker_pool("SparkCluster")


def test_a_slot_is_a_task_manager() -> None:
    """So that `--sdk_worker_parallelism` multiplies `--parallelism`, as the page says."""
    settings = named("FlinkDeployment", "beam-flink")["spec"]["flinkConfiguration"]
    assert settings["taskmanager.numberOfTaskSlots"] == "1"


def test_a_spark_worker_has_one_task_at_a_time_and_the_memory_of_an_executor() -> None:
    main, _ = worker_pod("SparkCluster")["containers"]
    environment = {each["name"]: each["value"] for each in main["env"]}
    assert environment["SPARK_WORKER_CORES"] == "1"
    assert environment["SPARK_WORKER_MEMORY"] == spark_settings()["spark.executor.memory"]


def test_spark_and_its_job_server_reach_each_other() -> None:
    settings, server = spark_settings(), {"app": "beam-spark-job-server"}
    ports = {port["name"]: port["containerPort"] for port in container(pods()["beam-spark-job-server"])["ports"]}
    assert settings["spark.driver.host"] == "$(POD_IP)"
    assert int(settings["spark.driver.port"]) == ports["driver"]
    assert int(settings["spark.driver.blockManager.port"]) == ports["blocks"]
    of_server, of_cluster = named("NetworkPolicy", "beam-spark-job-server"), named("NetworkPolicy", "beam-spark")
    cluster = of_cluster["spec"]["podSelector"]["matchLabels"]
    assert ports_between(of_server, "ingress", cluster) == {"driver", "blocks"}
    needed = {7077, int(settings["spark.blockManager.port"])}
    assert ports_between(of_server, "egress", cluster) == ports_between(of_cluster, "ingress", server) == needed


def test_the_user_of_spark_s_job_server_has_a_name() -> None:
    name, _, user, group, *_ = named("ConfigMap", "beam-spark-job-server")["data"]["passwd"].split(":")
    security = pods()["beam-spark-job-server"]["securityContext"]
    assert name
    assert (int(user), int(group)) == (security["runAsUser"], security["runAsGroup"])


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("beam-flink", "app"),
        ("beam-job-server", "app"),
        ("beam-spark", "spark.operator/spark-cluster-name"),
        ("beam-spark-job-server", "app"),
    ],
)
def test_who_may_connect_is_named(name: str, label: str) -> None:
    policy = named("NetworkPolicy", name)["spec"]
    assert policy["podSelector"] == {"matchLabels": {label: name}}
    assert policy["ingress"]
    assert all(rule["from"] for rule in policy["ingress"])


@pytest.mark.parametrize(
    ("kind", "key", "value", "message"),
    [
        ("FlinkDeployment", "flinkVersion", "v3_0", '"v3_0" is not one of '),
        ("FlinkDeployment", "taskManagers", {}, "'taskManagers' was unexpected"),
        ("FlinkDeployment", "taskManager", {"podTemplate": {"spec": {"container": []}}}, "'container' was unexpected"),
        ("SparkCluster", "workers", {}, "'workers' was unexpected"),
        ("SparkCluster", "sparkConf", {"spark.ui.port": 4040}, '4040 is not of type "string"'),
        ("SparkCluster", "runtimeVersions", {"scalaVersion": "2.12"}, '"sparkVersion" is a required property'),
        ("SparkCluster", "clusterTolerations", {"instanceConfig": {"workers": 4}}, "'workers' was unexpected"),
        ("SparkCluster", "workerSpec", {"podTemplate": {}}, "'podTemplate' was unexpected"),
        (
            "SparkCluster",
            "workerSpec",
            {"statefulSetSpec": {"template": {"spec": {"container": []}}}},
            "'container' was unexpected",
        ),
        ("SparkCluster", "masterSpec", {"statefulSetSpec": {"replica": 1}}, "'replica' was unexpected"),
    ],
)
def test_a_mistake_in_the_cluster_is_seen(kind: str, key: str, value: Any, message: str) -> None:
    (cluster,) = manifests.objects(kind)
    wrong = {**cluster, "spec": {**cluster["spec"], key: value}}
    assert any(message in found for found in manifests.errors(wrong))
