"""The IPMI driver against openipmi's simulator: its switch is seen from outside."""

import os
from ipaddress import ip_network

import pytest

from actors.drivers import ipmi
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Garbled, LeaseLost, NoEffect, NotAllowed, Refused, Unreachable
from actors.drivers.reach import Rules
from actors.drivers.systems import Target
from config.secrets import Secret
from tests.services import ipmi as peers

pytestmark = pytest.mark.services

LOOPBACK = Rules(networks=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def bmc(tmp_path):
    with peers.running(tmp_path) as running:
        yield running


def lead(bmc, do, *, password=peers.PASSWORD, address=None, seconds=60.0, rules=LOOPBACK, **how):
    where = Target(address=address or bmc.address, username=peers.USER, password=Secret(password))
    how = {"seen": lambda _: None} | how
    with ipmi.connected(where, rules=rules, deadline=Deadline.after(seconds), **how) as machine:
        return do(machine)


def test_a_machine_is_switched_on_and_off_and_what_is_so_is_left_alone(bmc):
    on = [lead(bmc, lambda machine: machine.ensure_power(on=True)) for _ in range(2)]
    shown = bmc.power
    off = [lead(bmc, lambda machine: machine.ensure_power(on=False, force=True)) for _ in range(2)]

    assert [each["changed"] for each in (*on, *off)] == [True, False, True, False]
    assert (shown, bmc.power) == ("1", "0")
    assert bmc.orders == ["power 1", "power 0"]


def test_the_operating_system_is_asked_before_power_is_cut(bmc):
    bmc.put("power", "1")

    lead(bmc, lambda machine: machine.ensure_power(on=False))

    assert (bmc.power, bmc.orders) == ("0", ["shutdown 1"])


def test_power_is_cut_when_the_operating_system_does_not_end(bmc):
    bmc.put("power", "1")
    bmc.put("deaf")

    lead(bmc, lambda machine: machine.ensure_power(on=False), seconds=10)

    assert (bmc.power, bmc.orders) == ("0", ["shutdown 1", "power 0"])


def test_a_bmc_that_says_yes_and_does_nothing_is_found_out(bmc):
    bmc.put("jammed")

    with pytest.raises(NoEffect, match="is off all the same"):
        lead(bmc, lambda machine: machine.ensure_power(on=True), seconds=6)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"source": "pxe"}, "pxe"),
        ({"source": "disk", "persistent": True, "mode": "uefi"}, "default"),
        ({"source": "none"}, "none"),
    ],
)
def test_a_boot_source_is_set_and_read_back(bmc, asked, kept):
    found = lead(bmc, lambda machine: machine.set_boot_source(**asked))

    assert found["source"] == asked["source"]
    assert bmc.boot == kept


def test_a_boot_source_that_is_not_kept_is_found_out(bmc):
    bmc.put("jammed")

    with pytest.raises(NoEffect, match="keeps 0x00"):
        lead(bmc, lambda machine: machine.set_boot_source("pxe"))


@pytest.mark.parametrize("source", ["http", "usb", "floppy", ""])
def test_a_boot_source_that_ipmi_does_not_know_is_refused(bmc, source):
    with pytest.raises(Refused, match="no such boot source"):
        lead(bmc, lambda machine: machine.set_boot_source(source))

    assert bmc.orders == []


def test_an_inventory_tells_the_power_and_says_what_ipmi_cannot(bmc):
    facts = lead(bmc, lambda machine: machine.inventory())

    assert facts["power"] == "off"
    assert set(facts["missing"]) == {"processors", "memory", "disks", "nics"}


def test_a_wrong_password_is_refused_and_never_shown(bmc):
    with pytest.raises(Refused, match="does not know this user") as caught:
        lead(bmc, lambda machine: machine.power(), password="wrong-horse")

    assert "wrong-horse" not in str(caught.value)


def test_a_password_of_more_than_20_bytes_is_refused_before_anything_is_sent(bmc):
    with pytest.raises(Refused, match="over 20 bytes"):
        lead(bmc, lambda machine: machine.power(), password="x" * 21)


def test_a_bmc_that_does_not_answer_may_be_asked_again(bmc):
    with pytest.raises(Unreachable):
        lead(bmc, lambda machine: machine.power(), address="ipmi://127.0.0.1:9", seconds=2)


@pytest.mark.parametrize(
    "address",
    ["https://127.0.0.1", "ipmi://", "ipmi://-oProxyCommand", "ipmi://h/path", "ipmi://h:99999"],
)
def test_an_address_that_is_none_of_ipmi_is_refused(bmc, address):
    with pytest.raises(NotAllowed):
        lead(bmc, lambda machine: machine.power(), address=address)


def test_a_bmc_outside_the_sites_networks_is_not_called(bmc):
    elsewhere = Rules(networks=(ip_network("10.0.0.0/8"),))

    with pytest.raises(NotAllowed, match="outside the networks"):
        lead(bmc, lambda machine: machine.power(), rules=elsewhere)


def test_each_order_is_permitted_before_it_is_sent(bmc):
    def forbid(method, name):
        raise LeaseLost(f"{method} {name}")

    with pytest.raises(LeaseLost, match="SET power on"):
        lead(bmc, lambda machine: machine.ensure_power(on=True), permit=forbid)

    assert bmc.orders == []


def test_each_exchange_is_told_of_with_what_the_bmc_said(bmc):
    calls = []

    lead(bmc, lambda machine: machine.ensure_power(on=True), seen=calls.append)

    told = [(call.method, call.path, call.status) for call in calls]
    assert told[0] == ("GET", "chassis status", ipmi.DONE)
    assert ("SET", "power on", ipmi.DONE) in told


@pytest.mark.parametrize(
    ("printed", "error"), [("no bytes at all", Garbled), ("", Garbled), ("01", Garbled)]
)
def test_a_tool_that_prints_what_is_no_answer_is_not_believed(
    bmc, tmp_path, monkeypatch, printed, error
):
    tool(tmp_path, f"echo {printed}", monkeypatch)

    with pytest.raises(error):
        lead(bmc, lambda machine: machine.power())


def test_the_password_is_no_argument_of_the_tool(bmc, tmp_path, monkeypatch):
    tool(tmp_path, f'echo "$@" >{tmp_path}/arguments; echo 01 00 00', monkeypatch)

    lead(bmc, lambda machine: machine.power())

    assert peers.PASSWORD not in (tmp_path / "arguments").read_text()


def test_an_agent_without_the_tool_says_what_to_install(bmc, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Refused, match="has no ipmitool"):
        lead(bmc, lambda machine: machine.power())


def tool(folder, script, monkeypatch):
    """Put a tool that runs *script* before the real one."""
    (folder / "bin").mkdir()
    written = folder / "bin" / ipmi.TOOL
    written.write_text(f"#!/bin/sh\n{script}\n")
    written.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
