import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy/Dockerfile"
SERVICES = yaml.safe_load(COMPOSE.read_text(encoding="utf8"))["services"]
SECRETS = {
    "POSTGRES_PASSWORD": "a",
    "RABBITMQ_PASSWORD": "b",
    "SPROUT_ADMIN_TOKEN_HASH": "c",
    "SPROUT_SESSION_KEY": "d",
}


def run(*command, **variables):
    """Run *command* with *variables* as its environment, and return its result."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def compose(tmp_path):
    """docker-compose on our file, in a folder without .env."""

    def call(*arguments, **variables):
        where = ("--file", COMPOSE, "--project-directory", tmp_path)
        return run("docker-compose", *where, *arguments, **variables)

    return call


@pytest.mark.services
def test_compose_understands_its_file(compose):
    result = compose("config", **SECRETS)

    assert result.returncode == 0, result.stderr
    assert set(yaml.safe_load(result.stdout)["services"]) >= {"postgres", "rabbitmq", "edge"}


@pytest.mark.services
@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_compose_does_not_start_without_a_secret(compose, secret):
    result = compose("config", **{k: v for k, v in SECRETS.items() if k != secret})

    assert result.returncode != 0
    assert f"set {secret} in .env" in result.stderr


def test_a_site_knows_no_account_but_that_of_its_enrolment():
    assert "RABBITMQ_PASSWORD" not in json.dumps(SERVICES["site"])
    assert "SPROUT_BROKER_ADMIN_URL" in SERVICES["control"]["environment"]


@pytest.mark.parametrize("file", [COMPOSE, ROOT / "deploy/provisioning.compose.yaml"])
def test_compose_files_follow_their_specification(file):
    result = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)

    assert result.returncode == 0, result.stdout


def test_workflow_follows_its_schema():
    workflow = ROOT / ".github/workflows/ci.yml"

    result = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)

    assert result.returncode == 0, result.stdout


def test_dockerfile_is_clean():
    result = run(BIN / "hadolint", "--no-color", DOCKERFILE)

    assert (result.returncode, result.stdout) == (0, "")


def test_the_image_has_the_programs_that_a_site_runs():
    installed = DOCKERFILE.read_text(encoding="utf8").partition("--no-install-recommends")[2]

    assert {"ipmitool", "iproute2"} <= set(installed.partition("\n")[0].split())


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_images_are_pinned(service):
    _, _, tag = SERVICES[service]["image"].rpartition(":")

    assert tag.count(".") >= 1
    assert "latest" not in tag


def test_image_has_the_version_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]

    assert SERVICES["edge"]["image"] == f"sprout:{project['version']}"


@pytest.mark.parametrize(
    "service", sorted(name for name, service in SERVICES.items() if "ports" in service)
)
def test_published_ports_are_on_loopback_and_watched(service):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service]["ports"])
    assert "healthcheck" in SERVICES[service]


def test_site_has_no_credentials_for_the_tables():
    assert "SPROUT_DATABASE_URL" not in SERVICES["site"]["environment"]


def test_only_the_site_has_capabilities():
    assert {name for name, service in SERVICES.items() if "cap_add" in service} == {"site"}


def test_tools_of_the_checkout_are_not_in_the_image():
    taken = (ROOT / ".dockerignore").read_text(encoding="utf8").splitlines()

    assert "!deploy" not in taken
    assert "COPY deploy" not in DOCKERFILE.read_text(encoding="utf8")
