"""The manifests of all servers are valid by the published schemas, and consistent where schemas do not apply."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli.rank_service import rank_service
from pipeline.compile import kubeflow
from pipeline.workspace import Workspace
from serving.model_server import logs
from serving.model_server.command import serve
from serving.model_server.guard import last_calls
from tests.debian import installed
from tests.deploy import manifests
from tests.deploy.manifests import DEPLOY, ROOT, container, flags, kubernetes_files, named, objects, pods

PRODUCT = "wdr"
WORKLOADS = (
    "app-store",
    "beam-job-server",
    "beam-pool",
    "beam-spark-job-server",
    "model-server",
    "rank-service",
    "tf-serving",
)
TF_SERVING = ("app-store", "tf-serving")

#: The flags of TF Serving 2.19.1 that the deploy files use (`model_servers/main.cc`); it rejects unknown flags.
_TF_SERVING_FLAGS = {
    "allow_version_labels_for_unavailable_models", "enable_model_warmup", "file_system_poll_wait_seconds",
    "grpc_channel_arguments", "model_config_file", "model_config_file_poll_wait_seconds", "monitoring_config_file",
    "port", "rest_api_port", "tensorflow_inter_op_parallelism", "tensorflow_intra_op_parallelism",
}  # fmt: skip

#: Flags that KServe's runtime sets itself (`config/runtimes/kserve-tensorflow-serving.yaml`).
_RUNTIME_S_FLAGS = {"model_name", "model_base_path", "port", "rest_api_port", "rest_api_timeout_in_ms"}

#: Properties of gRPC: a server prolongs the maximum age of a connection by up to a tenth, and a channel resolves
#: addresses at most once in 30 s (`grpc.dns_min_time_between_resolutions_ms`).
_AGE_JITTER = 1.1
_SECONDS_BETWEEN_RESOLUTIONS = 30

#: `wdr rank-service` answers requests in flight for this long after SIGTERM.
_RANK_SERVICE_GRACE = 10

#: What a process may take to unload its models and exit.
_SECONDS_TO_EXIT = 5


def selected(selector: Any, labels: dict[str, str]) -> bool:
    """Returns whether a Kubernetes label selector matches an object with these labels."""
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "In"
        if labels.get(each["key"]) not in each["values"]:
            return False
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def pod_labels(name: str) -> dict[str, str]:
    if name == "app-store":  # KServe's label on an InferenceService's pods
        return {"serving.kserve.io/inferenceservice": name}
    kind = "StatefulSet" if name == "beam-pool" else "Deployment"
    labels: dict[str, str] = named(kind, name)["spec"]["template"]["metadata"]["labels"]
    return labels


def test_these_run_all_the_time() -> None:
    assert sorted(pods()) == sorted(WORKLOADS)


@pytest.mark.parametrize("path", kubernetes_files(), ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_objects_are_as_kubernetes_and_kserve_publish_them(path: Path) -> None:
    for document in manifests.documents(path):
        assert manifests.errors(document) == []


def test_compose_is_as_its_specification_says() -> None:
    assert manifests.compose_errors(yaml.safe_load((DEPLOY / "tf-serving/compose.yaml").read_text())) == []


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("spec", "replica"), 2, "'replica' was unexpected"),
        (("spec", "minReadySeconds"), "2", 'spec.minReadySeconds: "2" is not of type "integer"'),
        (("spec", "selector"), None, '"selector" is a required property'),
        (("spec", "template", "spec", "containers", 0, "volumeMounts", 0, "subpath"), "a", "'subpath' was unexpected"),
    ],
)
def test_a_mistake_in_a_manifest_is_seen(place: tuple[Any, ...], value: Any, message: str) -> None:
    document = copy.deepcopy(named("Deployment", "tf-serving"))
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    if value is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    (found,) = manifests.errors(document)
    assert message in found


def test_a_mistake_in_kserve_s_own_fields_is_seen() -> None:
    document = copy.deepcopy(named("InferenceService", "app-store"))
    document["spec"]["predictor"]["scaleMetric"] = "gpu"
    del document["spec"]["predictor"]["model"]["modelFormat"]["name"]
    document["spec"]["predictor"]["model"]["storage_uri"] = "pvc://storage"
    assert len(manifests.errors(document)) == 3


def test_each_kustomization_has_all_files_of_its_folder() -> None:
    for path in DEPLOY.rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(path.read_text())
        listed = {path.parent / resource for resource in kustomization["resources"]}
        assert kustomization["apiVersion"] == "kustomize.config.k8s.io/v1beta1"
        claims = {DEPLOY / name / "claim.yaml" for name in ("tf-serving", "rank-service")}
        elsewhere = {DEPLOY / "tf-serving" / "kserve.yaml", *claims}
        assert listed == {each for each in kubernetes_files() if path.parent in each.parents} - elsewhere


@pytest.mark.parametrize("name", TF_SERVING)
def test_tf_serving_is_not_pid_1_of_its_pod(name: str) -> None:
    """It has no SIGTERM handler (`model_servers/main.cc`), and a PID 1 without one does not receive the signal."""
    assert pods()[name]["shareProcessNamespace"] is True


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_runs_as_a_number_that_is_not_root(name: str) -> None:
    own = container(pods()[name])["securityContext"]
    # KServe's runtime sets a user on the container, which takes precedence over the pod's.
    securities = [pods()[name]["securityContext"], *([own] if name == "app-store" else [])]
    for security in securities:
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}


def test_the_image_s_user_is_the_pods_number() -> None:
    """`runAsNonRoot` rejects an image whose user is a name."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    user, group = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)[-1]
    assert re.findall(r"^USER .*$", dockerfile, re.MULTILINE) == [f"USER {user}:{group}"]
    assert f"--uid {user} " in dockerfile
    for name in WORKLOADS:
        security = pods()[name]["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))


def test_the_image_has_an_init() -> None:
    """A process without a SIGTERM handler, such as a run, would not receive the signal as PID 1."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["tini", "--", "wdr"]' in dockerfile
    assert re.search(r"apt-get install .*\btini\b", dockerfile)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_has_no_token_of_kubernetes(name: str) -> None:
    assert pods()[name]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", WORKLOADS)
def test_only_who_is_named_may_connect(name: str) -> None:
    labels = pod_labels(name)
    policies = [each["spec"] for each in objects("NetworkPolicy") if selected(each["spec"]["podSelector"], labels)]
    (policy,) = policies
    assert policy["podSelector"] != {}
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    ports = {port for each in container(pods()[name])["ports"] for port in (each["name"], each["containerPort"])}
    for rule in policy["ingress"]:
        assert rule["from"]
        assert {port["port"] for port in rule["ports"]} <= ports
    for rule in policy["egress"]:
        assert rule["to"]
        assert rule["ports"]


@pytest.mark.parametrize("server", ["app-store", "model-server", "tf-serving"])
def test_the_ranking_service_reaches_grpc_and_prometheus_reaches_the_metrics(server: str) -> None:
    policy = named("NetworkPolicy", server)["spec"]
    grpc = {"h2c", "grpc"} & {port["name"] for port in container(pods()[server])["ports"]}
    numbers = {port["containerPort"] for port in container(pods()[server])["ports"] if port["name"] in grpc}
    (rule,) = (
        rule
        for rule in policy["ingress"]
        for peer in rule["from"]
        if selected(peer.get("podSelector", {"matchLabels": {"": "none"}}), pod_labels("rank-service"))
    )
    assert {port["port"] for port in rule["ports"]} <= grpc | numbers
    leaving = [
        rule
        for rule in named("NetworkPolicy", "rank-service")["spec"]["egress"]
        for peer in rule["to"]
        if selected(peer.get("podSelector", {"matchLabels": {"": "none"}}), pod_labels(server))
    ]
    assert [{port["port"] for port in rule["ports"]} for rule in leaving] == [numbers]
    if server != "app-store":  # KServe's runtime exports no metrics
        assert any(port["port"] == "rest" for other in policy["ingress"] for port in other["ports"])


def test_headless_services_have_servers_that_end_connections() -> None:
    """A gRPC channel resolves addresses again only after a connection ends; otherwise no client finds a new pod."""
    headless = [each["metadata"]["name"] for each in objects("Service") if each["spec"].get("clusterIP") == "None"]
    headless.remove("beam-pool")  # a node connects to one pod by its own name, anew for each job
    assert sorted(headless) == ["model-server", "tf-serving"]
    arguments = flags(container(pods()["tf-serving"])["args"])
    channel = dict(each.split("=") for each in arguments["grpc_channel_arguments"].split(","))
    age_ms, grace_ms = int(channel["grpc.max_connection_age_ms"]), int(channel["grpc.max_connection_age_grace_ms"])
    assert 1_000 <= age_ms <= 60_000
    assert grace_ms >= 1_000  # the default deadline of a client
    assert 1 <= float(flags(container(pods()["model-server"])["args"])["connection-age-seconds"]) <= 60


@pytest.mark.parametrize("name", TF_SERVING)
def test_tf_serving_stops_once_no_client_is_connected(name: str) -> None:
    """SIGTERM stops it at once, so its clients must be disconnected by then."""
    pod = pods()[name]
    channel = flags(container(pod)["args"])["grpc_channel_arguments"]
    age = int(dict(each.split("=") for each in channel.split(","))["grpc.max_connection_age_ms"]) / 1000
    command, seconds = container(pod)["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert age * _AGE_JITTER + _SECONDS_BETWEEN_RESOLUTIONS <= int(seconds) < pod["terminationGracePeriodSeconds"]


def test_the_volumes_can_be_mounted_by_pods_on_several_nodes() -> None:
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods().values()
        for volume in pod.get("volumes", [])
        if "persistentVolumeClaim" in volume
    }
    assert used == {"storage", "serving-log"}
    for name in used:
        assert named("PersistentVolumeClaim", name)["spec"]["accessModes"] == ["ReadWriteMany"]


def test_servers_read_the_folder_that_the_pipeline_pushes_to() -> None:
    """The pipeline's volume has the workspace in `workspace/`; a server mounts its `serving/` read-only."""
    pushed = Workspace.at(Path(kubeflow.STORAGE) / "workspace").serving("app_store")
    inside = pushed.relative_to(kubeflow.STORAGE).as_posix()
    assert inside == "workspace/serving/app_store"
    assert container(pods()["app-store"])["storageUri"] == f"pvc://storage/{inside}"
    for name in ("tf-serving", "model-server"):
        (mount,) = (each for each in container(pods()[name])["volumeMounts"] if each["mountPath"] == "/models")
        assert mount["subPath"] == Path(inside).parent.as_posix()
        assert mount["readOnly"] is True


def knative_refuses(service: Any) -> list[str]:
    """Returns what Knative's admission rejects of what KServe creates from an InferenceService in Knative mode.

    Knative Serving's `pkg/apis/autoscaling/annotation_validation.go`, `validateMetric`: its own autoscaler, the default
    class, accepts `concurrency` and `rps`. `pkg/apis/serving/k8s_validation.go` and `fieldmask.go`: a container has one
    port, and a pod has no shared process namespace unless Knative's operator allows it.
    """
    annotations, predictor = service["metadata"].get("annotations", {}), service["spec"]["predictor"]
    if annotations.get("serving.kserve.io/deploymentMode") in ("Standard", "RawDeployment"):
        return []
    own = annotations.get("autoscaling.knative.dev/class", "kpa.autoscaling.knative.dev").startswith("kpa")
    refused = []
    if own and predictor.get("scaleMetric", "concurrency") not in ("concurrency", "rps"):
        refused.append(f"autoscaling.knative.dev/metric: {predictor['scaleMetric']}")
    if len(predictor["model"].get("ports", [])) > 1:
        refused.append("more than one port")
    if predictor.get("shareProcessNamespace"):
        refused.append("shareProcessNamespace")
    return refused


def test_knative_does_not_refuse_kserve_s_manifest() -> None:
    service = named("InferenceService", "app-store")
    assert knative_refuses(service) == []
    without = copy.deepcopy(service)
    del without["metadata"]["annotations"]
    assert knative_refuses(without) == [
        "autoscaling.knative.dev/metric: cpu", "more than one port", "shareProcessNamespace",
    ]  # fmt: skip


def test_kserve_s_manifest_says_nothing_that_its_mode_ignores() -> None:
    """Only `ksvc_reconciler.go` reads `canaryTrafficPercent`, in Knative mode; `scaleMetric` goes to an HPA."""
    service = named("InferenceService", "app-store")
    mode = service["metadata"].get("annotations", {}).get("serving.kserve.io/deploymentMode")
    assert mode == "Standard"
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"
    assert "canaryTrafficPercent" not in service["spec"]["predictor"]
    assert service["spec"]["predictor"]["scaleMetric"] in ("cpu", "memory")


def test_tf_serving_has_the_flags_that_it_is_given() -> None:
    of_pod, of_kserve = (set(flags(container(pods()[name])["args"])) for name in ("tf-serving", "app-store"))
    assert of_pod == _TF_SERVING_FLAGS
    assert of_kserve <= _TF_SERVING_FLAGS - _RUNTIME_S_FLAGS


def test_kserve_s_ports_are_its_runtime_s() -> None:
    """REST at 8080, gRPC at 9000 (`config/runtimes/kserve-tensorflow-serving.yaml`); the service maps 80 to 8080."""
    ports = container(pods()["app-store"])["ports"]
    assert [(port["name"], port["containerPort"]) for port in ports] == [("http1", 8080), ("h2c", 9000)]
    for probe in ("startupProbe", "readinessProbe"):
        found = container(pods()["app-store"])[probe]["httpGet"]
        assert found == {"path": "/v1/models/app-store/metadata", "port": 8080}


def test_images_have_a_tag_and_the_place_for_a_digest() -> None:
    for path in DEPLOY.rglob("kustomization.yaml"):
        images = {each["name"]: each for each in yaml.safe_load(path.read_text())["images"]}
        used = {
            container(each["spec"]["template"]["spec"])["image"]
            for file in kubernetes_files()
            if path.parent in file.parents
            for each in manifests.documents(file)
            if each["kind"] == "Deployment"
        }
        assert set(images) == used
        for image in images.values():
            assert image.get("digest", "").startswith("sha256:") or image["newTag"] not in ("", "latest")


@pytest.mark.parametrize("name", ["model-server", "rank-service", "tf-serving"])
def test_everything_is_about_the_same_pods(name: str) -> None:
    deployment = named("Deployment", name)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"],
        {"matchLabels": named("Service", name)["spec"]["selector"]},
        named("PodDisruptionBudget", name)["spec"]["selector"],
        pods()[name]["topologySpreadConstraints"][0]["labelSelector"],
        named("NetworkPolicy", name)["spec"]["podSelector"],
    ]
    assert all(selector == {"matchLabels": {"app": name}} for selector in selectors)
    assert labels["app"] == name
    autoscaler = named("HorizontalPodAutoscaler", name)["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert "replicas" not in deployment["spec"]  # each `kubectl apply` would undo the autoscaler's
    assert autoscaler["minReplicas"] >= 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert named("PodDisruptionBudget", name)["spec"]["maxUnavailable"] < autoscaler["minReplicas"]
    ports = {port["name"]: port["containerPort"] for port in container(pods()[name])["ports"]}
    assert {port["targetPort"]: port["port"] for port in named("Service", name)["spec"]["ports"]} == ports


@pytest.mark.parametrize(("name", "command"), [("model-server", serve), ("rank-service", rank_service)])
def test_a_product_s_command_takes_its_arguments_and_listens_at_the_pod_s_ports(name: str, command: Any) -> None:
    found = container(pods()[name])
    assert found["image"] == PRODUCT
    assert "command" not in found  # so that the image's entrypoint, an init and `wdr`, stays
    first, *arguments = found["args"]
    assert first == command.name
    if name == "model-server":
        arguments.remove("--models=/models")  # this folder does not exist here
    options = command.make_context(command.name, arguments).params
    assert options["host"] == "0.0.0.0"
    ports = {port["name"]: port["containerPort"] for port in found["ports"]}
    if name == "model-server":
        assert ports == {"grpc": options["grpc_port"], "rest": options["rest_port"]}
        assert str(options["num_threads"]) == found["resources"]["limits"]["cpu"]
    else:
        assert ports == {"http": options["port"]}
        host, _, port = options["server"].partition(":")
        (grpc,) = (each for each in named("Service", host)["spec"]["ports"] if each["name"] == "grpc")
        assert int(port) == grpc["port"]


def _seconds_to_wait(name: str) -> int:
    """How long a pod waits before it is sent SIGTERM."""
    command, seconds = container(pods()[name])["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    return int(seconds)


def test_the_model_server_s_times_to_stop_add_up() -> None:
    """Clients have left before SIGTERM; requests of those that have not are answered before SIGKILL."""
    pod = pods()["model-server"]
    arguments = [each for each in container(pod)["args"][1:] if each != "--models=/models"]
    options = serve.make_context("serve", arguments).params
    wait = _seconds_to_wait("model-server")
    assert options["connection_age_seconds"] * _AGE_JITTER + _SECONDS_BETWEEN_RESOLUTIONS <= wait
    assert options["timeout_seconds"] <= options["grace_seconds"]
    stop = last_calls.MAX_SECONDS + options["grace_seconds"] + logs.END_SECONDS
    assert wait + stop + _SECONDS_TO_EXIT <= pod["terminationGracePeriodSeconds"]


def test_the_rank_service_s_times_to_stop_add_up() -> None:
    seconds = pods()["rank-service"]["terminationGracePeriodSeconds"]
    assert _seconds_to_wait("rank-service") + _RANK_SERVICE_GRACE + _SECONDS_TO_EXIT <= seconds


@pytest.mark.slow  # it may have to install kubectl
@pytest.mark.parametrize("folder", ["tf-serving", "model-server", "rank-service"])
def test_kustomize_makes_of_a_folder_what_its_files_say(folder: str) -> None:
    command = [installed("kubectl", "kubernetes-client"), "kustomize", str(DEPLOY / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    made = list(yaml.safe_load_all(done.stdout))
    for document in made:
        assert manifests.errors(document) == []
    (deployment,) = (each for each in made if each["kind"] == "Deployment")
    (image,) = yaml.safe_load((DEPLOY / folder / "kustomization.yaml").read_text())["images"]
    found = container(deployment["spec"]["template"]["spec"])["image"]
    assert found == f"{image['name']}:{image['newTag']}"
    expected = sorted(each["kind"] for each in made if each["kind"] != "ConfigMap")
    assert expected == ["Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"]
