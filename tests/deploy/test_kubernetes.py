"""The Kubernetes manifest: its parts fit together, and the gateway lives with a ConfigMap as a kubelet mounts it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from tests.deploy.files import DEPLOY, instructions
from tests.fakes.redis import RedisServer
from tests.gateway import Gateway, running
from tests.waiting import until

DOCUMENTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
MANIFEST: dict[str, dict[str, Any]] = {each["kind"]: each for each in DOCUMENTS}
POD: dict[str, Any] = MANIFEST["Deployment"]["spec"]["template"]["spec"]
MAIN: dict[str, Any] = POD["containers"][0]
IMAGE = dict(instructions(DEPLOY / "Containerfile"))


def test_the_parts_name_each_other() -> None:
    labels = MANIFEST["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFEST["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFEST["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFEST["Service"]["spec"]["selector"] == labels
    assert [each["name"] for each in MAIN["ports"]] == [MANIFEST["Service"]["spec"]["ports"][0]["targetPort"]]
    assert {each["name"] for each in MAIN["volumeMounts"]} == {each["name"] for each in POD["volumes"]}
    items = volume("configuration")["configMap"]["items"]
    assert {each["key"] for each in items} == MANIFEST["ConfigMap"]["data"].keys()
    assert volume("configuration")["configMap"]["name"] == MANIFEST["ConfigMap"]["metadata"]["name"]


def test_a_pod_fits_the_image_and_may_do_no_more_than_it_needs() -> None:
    assert POD["automountServiceAccountToken"] is False
    security = POD["securityContext"]
    assert security["runAsNonRoot"] is True
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == IMAGE["USER"]
    assert str(MAIN["ports"][0]["containerPort"]) == IMAGE["EXPOSE"]
    assert IMAGE["VOLUME"] in [each["mountPath"] for each in MAIN["volumeMounts"]]
    for container in [*POD["initContainers"], MAIN]:
        assert container["image"] == MAIN["image"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_probes_ask_what_they_mean() -> None:
    """A gateway without its store is not to be started again, but gets no requests."""
    for probe, path in (("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "ready")):
        assert MAIN[probe]["httpGet"] == {"path": f"/health/{path}", "port": "http"}


def volume(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in POD["volumes"] if each["name"] == name)
    return found


def mount(directory: Path, version: str, files: Mapping[str, str]) -> None:
    """Put a version of a volume in place at once, as a kubelet does: by a link that all names lead through."""
    for path, text in files.items():
        file = directory / version / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        name = path.partition("/")[0]
        if not (directory / name).exists():
            (directory / name).symlink_to(f"..data/{name}")
    (directory / "..new").symlink_to(version)
    (directory / "..new").replace(directory / "..data")


@pytest.fixture
def configuration() -> dict[str, str]:
    """Paths and contents of the ConfigMap's volume."""
    data = MANIFEST["ConfigMap"]["data"]
    return {each["path"]: data[each["key"]] for each in volume("configuration")["configMap"]["items"]}


def test_the_gateway_follows_its_config_map(tmp_path: Path, configuration: dict[str, str]) -> None:
    directory, secrets, state = (tmp_path / name for name in ("etc", "secrets", "state"))
    for path in (directory, secrets, state):
        path.mkdir()
    (initial,) = POD["initContainers"]
    assert initial["command"][0] == "touch"
    (state / Path(initial["command"][1]).name).touch()
    with RedisServer(tmp_path / "redis", user="sojourn on >word ~sojourn* +@all") as server:
        configuration = {
            path: text.replace("/run/secrets/sojourn", str(secrets)).replace(
                "@valkey:6379", f"@127.0.0.1:{server.port}"
            )
            for path, text in configuration.items()
        }
        mount(
            secrets, "..1", {"master-key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "store-password": "word"}
        )
        mount(directory, "..1", configuration)
        with running(Gateway(directory, state=state)) as gateway:
            # The store is empty, and the gateway does not take it for one that never held anything.
            epoch = redis.Redis.from_url(server.url).get("sojourn/epoch")
            assert isinstance(epoch, bytes)
            assert b'"since":0.0' not in epoch
            mount(directory, "..2", configuration | {"accounts/acme.yaml": 'Account: "444455556666"\n'})
            until(lambda: "configuration loaded" in gateway.log)
