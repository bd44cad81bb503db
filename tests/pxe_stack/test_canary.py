"""The canary against the real processes, beside real servers that nobody asked for."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from models.bootnet import Mode
from models.observations import Seen
from pxe_stack import canary, canary_dhcp, sockets
from pxe_stack.canary import Level, Target
from pxe_stack.canary_dns import Names
from pxe_stack.dns_zone import Host
from tests.pxe_stack import make
from tests.pxe_stack.lab import ROOT, SERVER_ADDRESS, serving, until
from tests.pxe_stack.nets import network, whole
from tests.services import process

pytestmark = pytest.mark.services

SERVICES = ("dhcp", "tftp", "http", "files")
ROGUE = "10.77.0.9"


def target(site, mode=None, **changes):
    given = {
        "key": site.key,
        "boot_url": site.boot_url,
        "interface": site.dhcp_interface,
        "address": site.dhcp_address,
        "tftp_address": site.tftp_address,
        "mode": mode,
    }
    return Target(**given | changes)


def checked(site, mode=None, **changes):
    """Return the report, and its findings by client and step."""
    listen_s = 4.0 if mode is Mode.PROXY else 1.0
    report = sockets.made_in(
        site.netns, lambda: canary.check(target(site, mode, **changes), listen_s)
    )
    assert json.dumps(report.encode())
    return report, {(each.client, each.what): each for each in report.findings}


def told(boot, mode, **changes):
    net = network(mode, **changes)
    boot.stores.plans.put_networks([net], version=1, ranges=[whole(net)] if net.pool_first else [])


@contextmanager
def rogue(wire, *options):
    """dnsmasq among the clients, as a DHCP server that nobody told us of."""
    wire.give_address(f"{ROGUE}/24")
    words = ["ip", "netns", "exec", wire.clients, "dnsmasq", "--keep-in-foreground", "--port=0"]
    words += ["--conf-file=/dev/null", "--interface=c0", "--bind-interfaces", "--no-ping"]
    words += ["--dhcp-leasefile=/dev/null", "--log-facility=-", *options]
    log = wire.folder / "rogue.log"
    log.unlink(missing_ok=True)
    child = process.launch(words, log)
    try:
        until(
            lambda: (
                b"sockets bound exclusively" in log.read_bytes() or b"started" in log.read_bytes()
            )
        )
        yield
    finally:
        process.stop(child)


@pytest.mark.parametrize("mode", [None, Mode.RESERVED, Mode.FULL])
def test_every_client_is_offered_and_fetches_what_is_installed(site, mode):
    with serving(site, *SERVICES) as boot:
        if mode is not None:
            told(boot, mode)

        report, found = checked(site, mode)

        assert report.ok, report.findings
        failing = {key for key, each in found.items() if each.level is not Level.OK}
        assert failing == {("arm64", "loader"), ("http-arm64", "loader")}
        assert "undionly.kpxe: 54,000 bytes" in found["bios", "loader"].detail
        assert "snponly.efi: 1,024,000 bytes" in found["x64", "loader"].detail
        assert found["http-x64", "loader"].detail.startswith(f"{make.URL}/loaders/snponly.efi")
        assert found["ipxe", "script"].level is Level.OK
        assert found["proxy", "loader"].level is Level.OK
        assert ("no address" in found["x64", "offer"].detail) is (mode is not Mode.FULL)


def test_a_chain_is_followed_to_its_script_and_what_is_cut_off_is_named(site):
    (folder,) = site.loader_dirs
    for name in ("shimx64.efi", "grubx64.efi"):
        (folder / name).write_bytes(b"MZ")
    with serving(site, *SERVICES) as boot:
        told(boot, Mode.FULL)
        report, found = checked(site, Mode.FULL)
        (folder / "grubx64.efi").unlink()
        broken, cut = checked(site, Mode.FULL)
        rows = boot.stores.journal.pending(0, 99)

    assert report.ok, report.findings
    assert "/shimx64.efi: 2 bytes" in found["x64", "loader"].detail
    assert "/grubx64.efi: 2 bytes" in found["x64", "second stage"].detail
    assert "/grub/grub.cfg-01-02:53:70:72:74:02: " in found["x64", "script"].detail
    assert ("http-x64", "second stage") not in found
    assert not broken.ok
    assert cut["x64", "second stage"].level is Level.FAILED
    assert not rows


def test_it_leaves_no_lease_no_discovery_and_no_row(wire, site):
    with serving(site, *SERVICES) as boot:
        net = network(pool_last=network().pool_first)
        boot.stores.plans.put_networks(
            [net], version=1, ranges=[whole(net)] if net.pool_first else []
        )
        for _ in range(2):
            report, found = checked(site, Mode.FULL)
            assert report.ok
            assert f"{net.pool_first} from" in found["bios", "offer"].detail

        went = wire.run("busybox", "udhcpc", "-i", "c0", "-n", "-q", "-f", "-s", "/bin/true")

        assert f"lease of {net.pool_first} obtained" in went.stderr
        assert [seen.kind for _, seen in boot.stores.journal.pending(0, 99)] == []


def test_where_dhcp_is_off_not_a_word_is_as_it_should_be(site):
    with serving(site, *SERVICES) as boot:
        told(boot, Mode.OFF)

        report, found = checked(site, Mode.OFF)

        assert report.ok
        assert {each.level for (_, what), each in found.items() if what == "offer"} == {Level.OK}


def test_a_foreign_server_is_named_with_its_address_and_mac(wire, site):
    with serving(site, *SERVICES), rogue(wire, "--dhcp-range=10.77.0.200,10.77.0.210"):
        report, found = checked(site)

        assert report.ok
        (foreign,) = report.foreign
        assert (foreign.address, foreign.mac) == (ROGUE, make.MAC)
        assert found["all", "servers"].level is Level.WARNING
        assert ROGUE in found["all", "servers"].detail
        assert make.MAC in found["all", "servers"].detail


def test_a_server_that_speaks_in_our_name_is_foreign(wire, site):
    forged = ("--dhcp-range=10.77.0.200,10.77.0.210", f"--dhcp-option-force=54,{SERVER_ADDRESS}")
    with serving(site, *SERVICES), rogue(wire, *forged):
        report, _ = checked(site)

        assert [each.mac for each in report.foreign] == [make.MAC]


def test_beside_another_server_its_addresses_are_expected_and_its_boot_files_are_not(wire, site):
    with serving(site, *SERVICES) as boot:
        told(boot, Mode.PROXY, pool_first=None, pool_last=None)
        with rogue(wire, "--dhcp-range=10.77.0.200,10.77.0.210"):
            report, found = checked(site, Mode.PROXY)
            assert report.ok, report.findings
            assert found["all", "servers"].level is Level.OK
            assert found["proxy", "port 4011"].level is Level.OK
        with rogue(wire, "--dhcp-range=10.77.0.200,10.77.0.210", "--dhcp-boot=theirs.efi"):
            _, found = checked(site, Mode.PROXY)
            assert "theirs.efi" in found["all", "servers"].detail
            assert found["all", "servers"].level is Level.WARNING


def names(site, **changes):
    given = {"address": SERVER_ADDRESS, "port": site.dns_port, "domain": site.domain}
    return Names(**given | changes)


def dns(found):
    return {what: each for (client, what), each in found.items() if client == "dns"}


def test_names_are_asked_for_and_back(site):
    site = replace(site, dns_address=SERVER_ADDRESS)
    with serving(site, *SERVICES, "dns") as boot:
        boot.stores.plans.put(make.plan())
        _, found = checked(site, names=names(site, host=Host("node-01", make.ADDRESS)))

    assert {each.level for each in dns(found).values()} == {Level.OK}
    assert set(dns(found)) == {"SOA", "A", "PTR"}
    assert dns(found)["A"].detail == f"node-01.{site.domain} is {make.ADDRESS}"
    assert dns(found)["PTR"].detail.endswith(f"is node-01.{site.domain}.")


def test_what_dns_does_not_say_is_said_in_words(site):
    site = replace(site, dns_address=SERVER_ADDRESS)
    with serving(site, *SERVICES, "dns"):
        report, found = checked(site, names=names(site, host=Host("node-01", make.ADDRESS)))
        _, elsewhere = checked(site, names=names(site, domain="example.test"))
        _, wrong = checked(site, names=names(site), boot_url="http://10.77.0.99:8081")
    _, gone = checked(site, names=names(site))

    assert not report.ok
    assert f"answers NXDOMAIN for A of node-01.{site.domain}" in dns(found)["A"].detail
    assert "answers REFUSED for SOA of example.test" in dns(elsewhere)["SOA"].detail
    assert dns(wrong)["A"].detail == (
        f"boot.{site.domain} is {SERVER_ADDRESS}, and should be 10.77.0.99"
    )
    assert dns(gone)["SOA"].detail == f"{SERVER_ADDRESS}:{site.dns_port}: Connection refused"


def command(site, folder, *words):
    """`sprout site check`, as an operator at the site has it."""
    enrolment = folder / "enrolment.json"
    enrolment.write_text(
        json.dumps(
            {
                "site": str(make.SITE),
                "slug": "ams-1",
                "signing_key": site.key.hex(),
                "broker": "amqp://nobody@127.0.0.1:1/",
                "edge": "http://127.0.0.1:1",
            }
        )
    )
    enrolment.chmod(0o600)
    given = {
        "SPROUT_ENROLMENT_FILE": str(enrolment),
        "SPROUT_SITE_DIR": str(site.directory),
        "SPROUT_NETNS": site.netns,
        "SPROUT_DHCP_BIND_INTERFACE": site.dhcp_interface,
        "SPROUT_DHCP_BIND_ADDR": site.dhcp_address,
        "SPROUT_BOOT_BIND_ADDR": site.boot_address,
        "SPROUT_DNS_BIND_ADDR": site.dns_address or "",
    }
    env = {**os.environ, **given}
    line = [sys.executable, "-c", "from edge.cli.main import run; run()", "site", "check", *words]
    return subprocess.run(line, env=env, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_operator_checks_the_site_by_one_command(site, tmp_path):
    site = replace(site, dns_address=SERVER_ADDRESS)
    with serving(site, *SERVICES, "dns") as boot:
        boot.stores.plans.put(make.plan())
        told(boot, Mode.FULL)
        shown = command(site, tmp_path)
        read = command(site, tmp_path, "--json")
        process.stop(boot.processes["dhcp"])
        broken = command(site, tmp_path)

    assert (shown.returncode, read.returncode, broken.returncode) == (0, 0, 1), shown.stderr
    assert "CLIENT" in shown.stdout.splitlines()[0]
    assert "10.77.0.100 from 10.77.0.1, snponly.efi" in shown.stdout
    assert f"node-01.provisioning.sprout.local is {make.ADDRESS}" in shown.stdout
    assert json.loads(read.stdout)["ok"]
    assert "nobody of this site has answered" in broken.stdout


def test_what_does_not_serve_has_failed(site):
    with serving(site, "dhcp", "http", "files"):
        report, found = checked(site)

        assert not report.ok
        assert found["bios", "loader"].level is Level.FAILED
        assert found["http-x64", "loader"].level is Level.OK


def test_where_no_dhcp_is_ours_the_loaders_are_fetched_all_the_same(site):
    with serving(site, "tftp", "http", "files"):
        report, found = checked(site, interface=None, address=None)

        assert report.ok
        assert found["x64", "loader"].level is Level.OK
        assert ("x64", "offer") not in found


def test_where_there_is_no_tftp_no_loader_is_looked_for_there(site):
    with serving(site, "http", "files"):
        report, found = checked(site, interface=None, address=None, tftp_address=None)

        assert report.ok
        assert ("x64", "loader") not in found
        assert found["http-x64", "loader"].level is Level.OK


def test_a_canary_cannot_confirm_an_address(site):
    with serving(site, "dhcp") as boot:
        told(boot, Mode.FULL)
        this, client = canary_dhcp.Round(site.key), canary.CLIENTS[1]
        taken = this.message("request", client)

        sock = sockets.made_in(site.netns, lambda: sockets.udp("0.0.0.0", 0, interface="s0"))
        with sock:
            sock.sendto(taken, ("255.255.255.255", 67))
            checked(site, Mode.FULL)
        process.stop(boot.processes["dhcp"], how=signal.SIGTERM)

        assert boot.stores.journal.counters()["dhcp-ignored canary no-answer-due"] == 1
        assert Seen.DHCP_ACKED not in {seen.kind for _, seen in boot.stores.journal.pending(0, 99)}
