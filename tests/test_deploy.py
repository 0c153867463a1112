"""The manifests: they parse, the configuration in them loads, and no pod runs with more than it needs. The images: all
that they copy is there, and the lock files pin every requirement by its hash.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.config.load import load

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
LOCKS = ROOT / "deploy" / "requirements"


def manifest(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    return parsed


def test_the_kustomization_names_every_manifest() -> None:
    others = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(manifest("kustomization")["resources"]) == others


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "offbeat.yaml"
    path.write_text(manifest("configmap")["data"]["offbeat.yaml"])
    assert load(path, {}).kafka.alerts == "flows.alerts"


@pytest.mark.parametrize("name", ["worker", "trainer"])
def test_pods_run_with_the_least(name: str) -> None:
    pod = manifest(name)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"]["cpu"]
    assert container["resources"]["limits"]["memory"]
    labels = manifest(name)["spec"]["template"]["metadata"]["labels"]
    assert manifest(name)["spec"]["selector"]["matchLabels"] == labels


def test_the_probes_ask_the_right_questions() -> None:
    (container,) = manifest("worker")["spec"]["template"]["spec"]["containers"]
    paths = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_the_images_copy_what_is_there() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
    copied = [name for names in copies for name in names.split()]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    installed = re.findall(r"sh install\.sh (\S+)", text)
    assert {f"deploy/requirements/{name}" for name in installed} <= set(copied)


@pytest.mark.parametrize("name", ["bootstrap.txt", "dev.lock", "trainer.lock", "worker.lock"])
def test_a_lock_file_pins_by_hash_and_names_no_index(name: str) -> None:
    text = (LOCKS / name).read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("--hash=", ""), re.MULTILINE)
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert all("==" in one and "--hash=sha256:" in one for one in requirements)
