from dataclasses import replace
from urllib.parse import quote

import pytest

from models.bootplan import Access, Action, url
from models.phases import ORDER, Phase
from pxe_stack import dhcp, firmware, packets
from pxe_stack.dhcp import Answer, Ignored, Snapshot, View, Why
from pxe_stack.directory import Known
from pxe_stack.leases import Leases
from pxe_stack.packets import ANY, BROADCAST, Kind, Option, Request
from tests.pxe_stack import make

SERVER = dhcp.Server(address="10.77.0.1", tftp="10.77.0.1", boot_url=make.URL, key=make.KEY)
KNOWN = Known(plan=make.plan(), phase=Phase.PXE_READY, authority=True)
SNAPSHOT = Snapshot(SERVER)
LOCAL = Known(
    plan=make.plan(action=Action.LOCAL, run=None, documents=()),
    phase=Phase.READY,
    authority=False,
)


def asks(kind=Kind.DISCOVER, options=(), **fields):
    return Request(kind=kind, xid=7, mac=make.MAC, options=dict(options), **fields)


def answer(request, known=KNOWN, snapshot=SNAPSHOT):
    """Return the reply, or why there is none, where a site knows plans alone."""
    decided = dhcp.answer(request, known, snapshot, View(Leases(), 1000.0))
    return decided.reply if isinstance(decided, Answer) else decided


def pxe(arch, vendor=b"PXEClient:Arch:00000"):
    return {Option.VENDOR_CLASS: vendor, Option.ARCHITECTURE: arch.to_bytes(2, "big")}


ENTRY = f"{make.URL}/ipxe/{quote(make.MAC)}"
IPXE = {Option.USER_CLASS: b"iPXE", Option.VENDOR_CLASS: b"PXEClient"}


def address(text):
    return bytes(map(int, text.split(".")))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_stranger_is_left_alone_whatever_it_says(kind):
    assert answer(asks(kind), None) == Ignored(Why.NOT_OURS)


def test_a_known_machine_is_offered_the_address_of_its_plan():
    reply = answer(asks())

    assert (reply.kind, reply.yiaddr, reply.xid) == (Kind.OFFER, make.ADDRESS, 7)


STATES = {
    "selecting": {
        "options": {
            Option.SERVER_ID: address("10.77.0.1"),
            Option.REQUESTED_ADDRESS: address(make.ADDRESS),
        }
    },
    "init-reboot": {"options": {Option.REQUESTED_ADDRESS: address(make.ADDRESS)}},
    "renewing": {"ciaddr": make.ADDRESS},
    "rebinding": {"ciaddr": make.ADDRESS, "broadcast": True},
}


@pytest.mark.parametrize("state", STATES)
def test_a_request_for_its_own_address_is_acknowledged_in_every_state(state):
    assert answer(asks(Kind.REQUEST, **STATES[state])).kind is Kind.ACK


@pytest.mark.parametrize(
    "fields",
    [
        {"options": {Option.REQUESTED_ADDRESS: address("10.77.0.99")}},
        {"ciaddr": "10.77.0.99"},
        {},
    ],
)
def test_a_request_for_another_address_is_refused_so_that_the_client_asks_anew(fields):
    assert answer(asks(Kind.REQUEST, **fields)).kind is Kind.NAK


def test_a_client_that_chose_another_server_is_not_disturbed():
    options = {
        Option.SERVER_ID: address("10.77.0.2"),
        Option.REQUESTED_ADDRESS: address("10.77.0.99"),
    }

    assert answer(asks(Kind.REQUEST, options)).why is Why.OTHER_SERVER


@pytest.mark.parametrize("kind", [Kind.RELEASE, Kind.DECLINE, Kind.OFFER, Kind.ACK, Kind.NAK])
def test_nothing_is_sent_where_no_answer_is_due(kind):
    assert isinstance(answer(asks(kind)), Ignored)


def test_an_inform_is_told_everything_but_an_address():
    reply = answer(asks(Kind.INFORM, ciaddr=make.ADDRESS))

    assert (reply.kind, reply.yiaddr) == (Kind.ACK, ANY)
    assert Option.LEASE_TIME not in reply.told


@pytest.mark.parametrize("code", firmware.ARCHITECTURES)
def test_every_architecture_is_given_a_loader_that_is_in_the_closed_table(code):
    row = firmware.ARCHITECTURES[code]
    vendor = b"HTTPClient" if row.http else b"PXEClient"

    reply = answer(asks(options=pxe(code, vendor)))

    name = reply.boot_file.rpartition("/")[2]
    assert firmware.loader_name(name) == row.loader
    assert reply.boot_file.startswith("http://") == row.http


def test_http_firmware_is_answered_with_its_own_vendor_class():
    reply = answer(asks(options=pxe(16, b"HTTPClient:Arch:00016")))

    assert reply.told[Option.VENDOR_CLASS] == b"HTTPClient"


@pytest.mark.parametrize("marks", [IPXE, {Option.IPXE: b"\xb1\x01\x01"}])
def test_ipxe_of_a_planned_machine_is_given_its_script_and_never_the_loader_again(marks):
    reply = answer(asks(options=marks | pxe(7)))

    if Option.USER_CLASS in marks or Option.IPXE in marks:
        assert reply.boot_file == url(KNOWN.plan, make.KEY, Access.SCRIPT, "script")


@pytest.mark.parametrize(
    "phase", [p for p in ORDER if ORDER.index(p) > ORDER.index(Phase.INSTALLING)]
)
def test_an_installed_machine_is_never_given_its_script_again(phase):
    reply = answer(asks(options=IPXE), replace(KNOWN, phase=phase))

    assert reply.boot_file == ENTRY


@pytest.mark.parametrize("known", [LOCAL, replace(KNOWN, authority=False)])
def test_a_machine_without_authority_is_led_to_the_entry_that_boots_its_disk(known):
    reply = answer(asks(options=IPXE), known)

    assert reply.boot_file == ENTRY
    assert reply.yiaddr == make.ADDRESS


def test_an_operating_system_that_asks_for_an_address_is_told_nothing_to_boot():
    assert answer(asks(options={Option.VENDOR_CLASS: b"udhcp"})).boot_file == ""


@pytest.mark.parametrize(
    ("fields", "to"),
    [
        ({"giaddr": "10.1.0.1"}, ("10.1.0.1", 67)),
        ({"ciaddr": make.ADDRESS}, (make.ADDRESS, 68)),
        ({"broadcast": True}, (BROADCAST, 68)),
        ({}, (make.ADDRESS, 68)),
    ],
)
def test_a_reply_goes_where_rfc_2131_wants_it(fields, to):
    assert answer(asks(**fields)).to == to


OWN_PORT = bytes([packets.RELAY_PORT, 0])


@pytest.mark.parametrize(
    ("relay", "port"),
    [
        (OWN_PORT, 40_000),
        (b"\x01\x02ab" + OWN_PORT, 40_000),
        (b"\x01\x02ab", 67),
        (b"\x01\x09ab" + OWN_PORT, 67),
        (OWN_PORT[:1], 67),
        (b"", 67),
    ],
)
@pytest.mark.parametrize("wanted", [make.ADDRESS, "10.77.0.99"])
def test_a_relay_is_answered_at_its_own_port_if_it_says_so(relay, port, wanted):
    options = {Option.RELAY: relay, Option.REQUESTED_ADDRESS: address(wanted)}

    request = asks(Kind.REQUEST, options=options, giaddr="10.1.0.1", port=40_000)

    reply = answer(request)
    assert reply.to == ("10.1.0.1", port)
    assert reply.told[Option.RELAY] == relay


@pytest.mark.parametrize("sent", [True, False])
def test_the_machine_identifier_is_echoed_only_if_it_was_sent(sent):
    given = {Option.MACHINE_ID: b"\0" + bytes(16)} if sent else {}

    reply = answer(asks(options=given))

    assert (Option.MACHINE_ID in reply.told) is sent


def test_a_long_script_url_goes_into_option_67_where_it_is_not_cut():
    known = replace(KNOWN, plan=make.plan(boot_base_url="http://" + "a" * 120 + ":8081"))

    reply = answer(asks(options=IPXE), known)

    assert reply.file == ""
    assert len(reply.boot_file) > packets.FILE_ROOM


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("snponly.efi", "snponly.efi"),
        ("/snponly.efi", "snponly.efi"),
        (".\\BOOTX64.EFI", "snponly.efi"),
        ("undionly.0", "undionly.kpxe"),
        ("../../etc/passwd", None),
        ("/etc/shadow", None),
        ("", None),
        ("snponly.efi\0", None),
    ],
)
def test_names_are_looked_up_in_a_closed_table(asked, name):
    assert firmware.loader_name(asked) == name
