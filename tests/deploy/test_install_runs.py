"""What deploy/install.sh lays down, run as its compose file says."""

import re
import subprocess
import sys

import pytest
import requests
import yaml

from tests.deploy import install_lab as lab
from tests.services import from_file, process

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = lab.Machine(tmp_path_factory.mktemp("machine"))
    made.docker(lab.ITS_OWN)
    made.done = made.install(REGISTRY="registry.example/lab")
    assert made.done.returncode == 0, made.done.stderr
    return made


@pytest.fixture(scope="module")
def service(machine):
    """The one service, as docker-compose understands it."""
    words = ["docker-compose", "--project-directory", str(machine.root), "config"]
    done = subprocess.run(
        words, cwd=machine.root, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert list(services) == ["sprout"]
    return services["sprout"]


def test_compose_runs_the_image_from_the_folder_and_may_not_change_it(machine, service):
    mounts = [
        each if isinstance(each, str) else f"{each['source']}:{each['target']}:ro"
        for each in service["volumes"]
    ]

    assert service["image"].startswith("registry.example/lab/sprout:")
    assert f"{machine.root}:{service['working_dir']}:ro" in mounts
    assert (service["read_only"], service["network_mode"]) == (True, "host")
    assert "SPROUT_ADMIN_PASSWORD_HASH" not in service["environment"]


def test_what_is_kept_lies_on_a_volume_that_is_roots_own(service):
    folder = service["environment"]["SPROUT_DATA_DIR"]
    image = (lab.ROOT / "deploy/Dockerfile").read_text(encoding="utf8")

    assert any(folder in str(each) for each in service["volumes"])
    assert folder not in image


def with_the_rights_of(service):
    """Return the words that start a program with no more than the container's rights."""
    rights = ",".join(f"+{right.lower()}" for right in service["cap_add"])
    return ["setpriv", "--no-new-privs", "--bounding-set", f"-all,{rights}"]


def signed_in(api, password):
    """Return the status of the page that wants a login, for who signs in with *password*."""
    browser = requests.Session()
    page = browser.get(f"{api.url}/sign-in", timeout=60).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    form = {"password": password, "csrf_token": token}
    browser.post(f"{api.url}/sign-in", data=form, timeout=60, allow_redirects=False)
    return browser.get(f"{api.url}/v1/sites", timeout=60).status_code


def test_the_product_comes_up_with_those_rights_and_lets_the_admin_in(machine, service, tmp_path):
    settings = machine.root / "provisioning.yaml"
    settings.write_text(settings.read_text().replace("enabled: true", "enabled: false"))
    [port] = process.free_ports(1)
    here = {"SPROUT_DATA_DIR": str(tmp_path / "data"), "SPROUT_BIND": f"127.0.0.1:{port}"}
    words = [sys.executable, "-c", from_file.RUN, *service["command"]]
    words = [*with_the_rights_of(service), *words]
    variables = service["environment"] | here | {"SPROUT_API_URL": f"http://127.0.0.1:{port}"}

    with from_file.started(words, machine.root, port, **variables) as api:
        told = [signed_in(api, each) for each in (lab.password(machine.done), "another password")]
        networks = api.get("/v1/networks").json()["items"]

    assert told == [200, 401]
    assert [each["cidr"] for each in networks] == ["192.168.1.0/24"]
    assert "which is shown once" not in api.log.read_text()
