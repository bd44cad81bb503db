"""deploy/examples/boot.sh against the product: a whole rebuild, and what ends one early."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.actors.installer_isos import an_iso
from tests.edge.live import TOKEN
from tests.services import from_file, process

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

SCRIPT = Path(__file__).parents[2] / "deploy/examples/boot.sh"
MAC = "52:54:00:aa:00:99"
SUBNET = "127.77.0.0/24"
"""Of loopback: each of its addresses is this machine's, so that a host can call from one."""

THERE = "127.77.0.199"
"""What another DHCP server may have given: not what a boot plan has."""

BEFORE = ["boot script", "boot script", "kernel"]
AFTER = ["ISO", "answer", "first-boot script", "installed", "phone-home"]


def boot(*words, **env):
    """Run the script with *words* and no token but that of *env*."""
    given = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(
        [str(SCRIPT), *words], env=given, capture_output=True, text=True, check=False, timeout=240
    )


def steps(done):
    return [line[:18].strip() for line in done.stdout.splitlines()]


def eventually(api, path, good):
    """Return what is at *path* once it is *good*."""
    found = {}

    def looked():
        found.update(api.get(path).json())
        if not good(found):
            raise ConnectionError(f"not yet: {found}")

    process.wait_until_ready(api.process, looked, api.log, seconds=120)
    return found


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """The product from one file, with an image of Proxmox VE and a host."""
    folder = tmp_path_factory.mktemp("product")
    iso = an_iso(folder / "pve.iso").read_bytes()
    sha256 = hashlib.sha256(iso).hexdigest()
    with from_file.running(folder, SUBNET) as api:
        assert api.send("PUT", f"/v1/blobs/{sha256}", data=iso).ok
        asked = {"ref": "pve", "name": "Proxmox VE", "isoSha256": sha256}
        preparation = api.post("/v1/image-preparations", asked).json()["id"]
        path = f"/v1/image-preparations/{preparation}"
        eventually(api, path, lambda job: job["state"] == "succeeded")
        eventually(api, "/v1/sites/home/health", lambda site: any(map(lives, site["agents"])))
        yield api


def lives(agent):
    return agent["live"] and "http" in agent["capabilities"]


def rebuilt(api, name, mac):
    """Register a host, ask for its rebuild, and return once its boot is waited for."""
    host = {"hostname": name, "mac": mac, "server_type": "ms-01"}
    assert api.post("/api/hosts", host).status_code == 201
    begun = api.post(f"/api/hosts/{name}/rebuild")
    assert begun.status_code == 202, begun.text
    eventually(api, f"/api/hosts/{name}", lambda host: host["operation"]["step"] == "netbooted")


def booted_by(api, arguments):
    """Have machines boot the image with these kernel arguments from now on."""
    image = api.get("/v1/images/pve").json()
    body = {"version": image["version"], "kernelArgs": arguments}
    assert api.send("PATCH", "/v1/images/pve", body).ok


ROUTES = [("52:54:00:aa:00:01", [], 1), ("52:54:00:aa:00:02", ["rdinit=/pxe-init"], 2)]
"""MAC, kernel arguments of the image, and how many archives make the initramfs."""


@pytest.mark.parametrize(("mac", "arguments", "archives"), ROUTES, ids=["memory", "overlay"])
def test_a_rebuild_is_played_by_curl_alone_until_the_host_is_ready(
    product, mac, arguments, archives
):
    booted_by(product, arguments)
    rebuilt(product, f"pve-{mac[-2:]}", mac)

    done = boot("--from", THERE, product.url, mac, SPROUT_API_TOKEN=TOKEN)

    assert (done.returncode, done.stderr) == (0, "")
    played = [name for name in steps(done) if name != "Sprout says"]
    assert played == [*BEFORE, *["initramfs"] * archives, *AFTER]
    assert done.stdout.splitlines()[-1].split() == ["Sprout", "says", "ready"]
    assert "token=" not in done.stdout


def test_a_host_that_is_nowhere_or_calls_from_another_network_is_told_so(product):
    rebuilt(product, "pve-03", "52:54:00:aa:00:03")

    unknown = boot(product.url, MAC)
    astray = boot("--from", "127.0.0.1", product.url, "52:54:00:aa:00:03")

    assert (unknown.returncode, astray.returncode) == (3, 3)
    assert "register it, and rebuild it" in unknown.stderr
    assert "nothing to install on this machine" in astray.stderr
    assert steps(astray) == ["boot script"]


def test_what_cannot_be_reached_and_what_is_no_command_line_have_their_status(product):
    away = boot(f"http://127.0.0.1:{process.free_ports(1)[0]}", MAC)
    words = [[], [product.url], [product.url, "x"], ["file:///etc", MAC], ["--from"], ["--no"]]

    assert away.returncode == 5
    assert [boot(*each).returncode for each in words] == [2] * len(words)
    assert boot("--help").stdout.startswith("usage: boot.sh")


def test_the_script_has_no_fault_that_shellcheck_knows():
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")
