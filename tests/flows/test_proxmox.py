"""A host of Proxmox VE, from a name, a MAC and a server type until it is ready in its cluster: real
firmware, iPXE and kernel beside another DHCP server, its installer's calls, then a real sshd.
"""

import hashlib
import re

import pytest

from tests.flows.home import HASH, HOST, LIMIT_S, TYPE, Home
from tests.machines import installer_iso
from tests.machines.ways import FOREIGN, GATEWAY
from tests.services import pve
from tests.services.pve_board import Board
from tests.services.pve_installer import Installer, Mode

pytestmark = [pytest.mark.machines, pytest.mark.timeout(LIMIT_S * 2)]

NAME = "pve-01"
WALKED = ["pxe_booted", "installing", "installed", "first_boot"]

LOADERS = {"bios": set(), "uefi": {"snponly.efi"}}
"""What each firmware fetches by TFTP to have iPXE; that of BIOS has it in its card's ROM here."""


class Rebuild:
    """A person's way from a name to a host that is ready."""

    def __init__(self, home):
        self.home = home
        home.uploaded()
        new = {"hostname": NAME, "mac": home.mac, "server_type": TYPE}
        self.registered = home.post("/api/hosts", new)
        self.operation = home.post(f"/api/hosts/{NAME}/rebuild", {})["id"]
        self.waiting = home.until(self._waits, "the host, ready to be powered on")

    def _waits(self):
        host = self.home.host(NAME)
        return host if host["operation"]["step"] == "netbooted" else None

    def boots(self):
        """Power it on: from firmware to the end of what the ISO's kernel runs; return its mode."""
        self.console = self.home.powered_on()
        self.booted = self.home.reaches(NAME, "pxe_booted")
        return Mode(self.said("asks"), self.said("bears"))

    def said(self, verb):
        """Return what the kernel of the ISO said that it does."""
        return re.search(rf"INSTALLER {verb} (.*?)\r?$", self.console, re.MULTILINE)[1]

    def installs(self, mode):
        """Install as *mode* says, to the end of the first boot; return the answer."""
        home, folder = self.home, self.home.folder / "installer"
        folder.mkdir()
        board = Board(
            macs=(home.mac,),
            serial=home.machine.hardware.serial,
            cidr=f"{HOST}/24",
            host_keys=home.node.sshd.keys,
        )
        words = ("ip", "netns", "exec", home.beyond)
        installer = Installer(board, folder, dial=home.dial, words=words)
        home.plugged_in()
        answer = installer.ask(mode)
        home.reaches(NAME, "installing")
        assert installer.install(answer) == "reboot"
        home.reaches(NAME, "installed")
        home.installed(*(folder / "authorized_keys").read_text().splitlines())
        assert installer.first_boot() == 0
        return answer

    def timeline(self):
        return self.home.get(f"/v1/workflows/{self.operation}/events?limit=500")["items"]

    def rows(self, kind):
        return [row["data"] for row in self.timeline() if row["kind"] == kind]


def check_boot(rebuild, mode):
    """See that kernel, initramfs and an ISO with this run's words were handed over."""
    assert rebuild.said("is of mode") == "http"
    assert rebuild.said("reads").split()[0] == hashlib.sha256(installer_iso.LARGE).hexdigest()
    assert mode.url == f"http://{GATEWAY}:8081/api/boot/answer"
    run, _, secret = mode.token.partition(":")
    [served] = rebuild.rows("script-served")
    assert served["path"].startswith(f"/boot/{run}/")
    assert len(secret) >= 32


def check_joined(rebuild, answer):
    """See the host in its cluster and at the service, and its key nowhere."""
    home = rebuild.home
    host = home.reaches(NAME, "ready")
    assert (host["ip"], host["operation"]["state"]) == (HOST, "succeeded")
    assert home.world.cluster()["nodes"].keys() == {"pve-00", NAME}
    [(key, told)] = home.service.hosts.items()
    assert told == {"hostname": NAME, "ip": HOST, "hardware_id": key, "server_type": "7"}
    [public] = answer["global"]["root-ssh-keys"]
    for node in (home.node, home.member):
        assert public.split()[1] not in node.root_keys()
    assert home.site.public in home.node.root_keys()
    assert home.database("SELECT count(*) FROM run_keys") == [(0,)]


def check_secrets(rebuild, mode):
    """See that what was secret is in no log."""
    home = rebuild.home
    secrets = (mode.token.partition(":")[2], pve.PASSWORD, HASH)
    for log in (home.folder / "sprout.log", *(home.data / "log").glob("*")):
        text = log.read_text(errors="replace")
        assert not [each for each in secrets if each in text], log


@pytest.mark.parametrize("firmware", LOADERS)
def test_a_host_is_rebuilt_beside_another_dhcp_server_and_joins_its_cluster(tmp_path, firmware):
    with Home(tmp_path, firmware=firmware) as home:
        rebuild = Rebuild(home)
        mode = rebuild.boots()
        answer = rebuild.installs(mode)

        check_boot(rebuild, mode)
        check_joined(rebuild, answer)
        check_secrets(rebuild, mode)
        assert rebuild.registered["state"] == "registered"
        assert rebuild.waiting["state"] == "pxe_ready"
        assert "power it on and boot from the network" in rebuild.waiting["operation"]["expects"]
        assert [row["to"] for row in rebuild.rows("phase-moved")] == WALKED
        assert {row["name"] for row in rebuild.rows("tftp-sent")} == LOADERS[firmware]
        fetched = {row["path"].rpartition("/")[2] for row in rebuild.rows("artifact-served")}
        assert fetched == {"vmlinuz", "initrd.img", "proxmox.iso"}
        assert {row["address"] for row in rebuild.rows("dhcp-offered")} == {"0.0.0.0"}
        assert {row["server"] for row in rebuild.rows("dhcp-heard")} == {FOREIGN}


def test_without_dhcp_of_ours_hosts_that_another_server_sends_here_are_rebuilt_too(tmp_path):
    with Home(tmp_path, boots=False) as home:
        rebuild = Rebuild(home)
        mode = rebuild.boots()
        answer = rebuild.installs(mode)

        check_boot(rebuild, mode)
        check_joined(rebuild, answer)
        assert [row["to"] for row in rebuild.rows("phase-moved")] == WALKED
        assert not rebuild.rows("dhcp-offered")
