"""Real clients against the real processes, in network namespaces."""

import socket
from dataclasses import replace

import pytest

from models import bootplan
from models.bootplan import Access
from models.observations import Seen
from models.phases import Phase
from pxe_stack import serve_dhcp, sockets
from pxe_stack import wire as codec
from tests.pxe_stack import make
from tests.pxe_stack.lab import SERVER_ADDRESS, serving
from tests.services import process

pytestmark = pytest.mark.services


def test_udhcpc_is_given_the_address_of_its_plan(wire, site):
    with serving(site, "dhcp") as boot:
        boot.stores.plans.put(make.plan())

        went = wire.run("busybox", "udhcpc", "-i", "c0", "-n", "-q", "-f", "-s", "/bin/true")

        assert f"lease of {make.ADDRESS} obtained" in went.stderr
        (acked,) = boot.wait_for(Seen.DHCP_ACKED)
        assert (acked.mac, acked.data["address"]) == (make.MAC, make.ADDRESS)


def test_dhclient_is_given_the_address_of_its_plan(wire, site):
    with serving(site, "dhcp") as boot:
        boot.stores.plans.put(make.plan())
        files = ("-lf", str(site.directory / "leases"), "-pf", str(site.directory / "dhclient.pid"))

        went = wire.run(
            "timeout", "20", "dhclient", "-4", "-1", "-v", *files, "-sf", "/bin/true", "c0"
        )

        assert f"bound to {make.ADDRESS}" in went.stderr
        wire.run("dhclient", "-x", *files, "c0")


def test_curl_fetches_the_script_in_its_window_and_local_boot_after_it(wire, site):
    wire.give_address()
    plan = make.plan()
    script = bootplan.url(plan, make.KEY, Access.SCRIPT, "script")
    callback = bootplan.url(plan, make.KEY, Access.CALLBACK, "installed")
    with serving(site, "http") as boot:
        boot.stores.plans.put(plan)

        before = wire.run("curl", "-sf", script)
        told = wire.run("curl", "-sf", "-d", "written=1&sha256=ab", callback)
        after = wire.run("curl", "-sf", script)

        assert before.stdout == bootplan.fill(make.SCRIPT, bootplan.slot_values(plan, make.KEY))
        assert told.stdout == "ok\n"
        assert "starting its own disk" in after.stdout
        assert boot.stores.journal.phase(plan.run) is Phase.INSTALLED
        assert [row.data["why"] for row in boot.rows(Seen.STRANGE_REQUEST)] == ["window-closed"]


def test_a_relay_on_loopback_is_answered_at_the_port_it_sent_from(site):
    port, *_ = process.free_ports(1)
    here = replace(site, netns=None, dhcp_interface="lo", dhcp_address="127.64.0.1", dhcp_port=port)
    marked = codec.request("discover", make.MAC, giaddr="127.64.0.2", options=[(82, b"\x13\x00")])
    with serving(here, "dhcp") as boot, socket.socket(type=socket.SOCK_DGRAM) as relay:
        boot.stores.plans.put(make.plan())
        relay.settimeout(60)
        relay.bind(("127.64.0.2", 0))
        relay.sendto(marked, ("127.64.0.1", port))

        reply, source = relay.recvfrom(2048)

    told = codec.decoded(reply)
    assert source == ("127.64.0.1", port)
    assert (told["message-type"], told["yiaddr"]) == ("offer", make.ADDRESS)


def test_who_may_not_choose_an_interface_serves_relays_at_its_own_address(site, monkeypatch):
    made = sockets.udp

    def forbidden(address, port, *, interface=None):
        if interface is not None:
            raise PermissionError
        return made(address, port)

    monkeypatch.setattr(sockets, "udp", forbidden)
    here = replace(site, netns=None, dhcp_interface="lo", dhcp_address="127.64.0.1", dhcp_port=0)

    with serve_dhcp.bound(here, 0) as sock:
        assert sock.getsockname()[0] == "127.64.0.1"


TFTP_CLIENTS = {
    "tftp-hpa": ("tftp", "-m", "binary", SERVER_ADDRESS, "-c", "get", "snponly.efi", "got"),
    "atftp": ("atftp", "--get", "-r", "snponly.efi", "-l", "got", SERVER_ADDRESS),
    "atftp-1428": (
        *("atftp", "--option", "blksize 1428", "--option", "windowsize 16", "--get"),
        *("-r", "snponly.efi", "-l", "got", SERVER_ADDRESS),
    ),
    "curl": (
        "curl",
        "-sf",
        "--tftp-blksize",
        "1428",
        f"tftp://{SERVER_ADDRESS}/snponly.efi",
        "-o",
        "got",
    ),
    "busybox": ("busybox", "tftp", "-g", "-r", "snponly.efi", "-l", "got", SERVER_ADDRESS),
}


@pytest.mark.parametrize("client", TFTP_CLIENTS)
def test_tftp_clients_fetch_a_loader_whole(wire, site, client):
    wire.give_address()
    with serving(site, "tftp") as boot:
        boot.stores.plans.put(make.plan())

        went = wire.run(*TFTP_CLIENTS[client])

        assert (wire.folder / "got").read_bytes() == bytes(range(256)) * 4000, went
        (sent,) = boot.wait_for(Seen.TFTP_SENT)
        assert (sent.mac, sent.data["name"], sent.data["resent"]) == (make.MAC, "snponly.efi", 0)


def test_processes_of_tftp_share_the_port_and_each_client_stays_with_one(wire, site):
    wire.give_address()
    with serving(replace(site, tftp_processes=2), "tftp") as boot:
        with serving(replace(site, tftp_processes=2), "tftp") as other:
            assert boot.processes["tftp"].pid != other.processes["tftp"].pid
            for client in TFTP_CLIENTS.values():
                went = wire.run(*client)
                assert (wire.folder / "got").read_bytes() == bytes(range(256)) * 4000, went
            boot.wait_for(Seen.TFTP_SENT, len(TFTP_CLIENTS))
        assert wire.run(*TFTP_CLIENTS["busybox"]).returncode == 0
