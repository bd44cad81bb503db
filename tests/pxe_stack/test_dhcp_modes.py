"""How each network is answered, itself and through a relay, by what the site was told of it."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from models.bootnet import Mode, Route
from models.phases import Phase
from pxe_stack import dhcp, firmware
from pxe_stack.dhcp import Ignored, Why
from pxe_stack.dhcp_boot import BOOT_AT_ONCE
from pxe_stack.directory import Known
from pxe_stack.firmware import beside, chains
from pxe_stack.packets import ANY, BROADCAST, PROXY_PORT, Kind, Option
from tests.pxe_stack import make
from tests.pxe_stack.nets import SERVER, Site, address, asks, far, mac, network, seconds

BIOS = {Option.VENDOR_CLASS: b"PXEClient:Arch:00000:UNDI:002001", Option.ARCHITECTURE: b"\0\0"}
UEFI = {Option.VENDOR_CLASS: b"PXEClient:Arch:00007:UNDI:003016", Option.ARCHITECTURE: b"\0\7"}
HTTP = {Option.VENDOR_CLASS: b"HTTPClient:Arch:00016:UNDI:003016", Option.ARCHITECTURE: b"\0\x10"}
IPXE = {Option.USER_CLASS: b"iPXE", **BIOS}
FIRMWARE = {"bios": BIOS, "uefi": UEFI, "http": HTTP, "ipxe": IPXE}
KNOWN = Known(plan=make.plan(mac=mac(1)), phase=Phase.PXE_READY, authority=True)
TABLE = {mac(1): make.ADDRESS}


@pytest.mark.parametrize("kind", list(Kind))
def test_where_dhcp_is_off_not_a_word_is_said(kind):
    site = Site(network(Mode.OFF))

    assert site.ask(asks(1, kind), KNOWN).why is Why.SWITCHED_OFF
    assert site.ask(asks(2, kind)).why is Why.SWITCHED_OFF


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.RESERVED])
def test_a_known_machine_has_the_address_of_its_plan(mode):
    site = Site(network(mode), reservations=TABLE)

    assert site.ask(asks(1), KNOWN).yiaddr == make.ADDRESS


@pytest.mark.parametrize("lease_s", [60, 600, 86_400])
def test_a_known_machine_leases_for_as_long_as_its_network_says_now(lease_s):
    site = Site(network(Mode.RESERVED, lease_s=lease_s), reservations=TABLE)

    assert seconds(site.ask(asks(1), KNOWN)) == lease_s


def test_a_known_machine_leases_for_as_long_as_its_plan_says_where_no_network_is_told():
    assert seconds(Site(reservations=TABLE).ask(asks(1), KNOWN)) == KNOWN.plan.addressing.lease_s


@pytest.mark.parametrize("kind", list(Kind))
def test_where_addresses_are_reserved_strangers_are_left_to_others(kind):
    assert Site(network(Mode.RESERVED)).ask(asks(2, kind)).why is Why.NOT_OURS


def test_a_known_machine_is_not_given_its_address_on_another_wire():
    site = Site(network(), far(), reservations=TABLE)

    assert site.ask(asks(1, giaddr="10.88.0.1"), KNOWN).why is Why.WRONG_NETWORK


def test_a_planned_address_is_not_given_while_a_stranger_still_leases_it():
    site = Site(network())
    held = site.lease(2)
    plan = make.plan(
        mac=mac(1), addressing=make.Addressing(address=held, prefix_length=24, gateway=None)
    )
    later = Site(network(), reservations={mac(1): held})
    later.leases.load(site.written)
    known = Known(plan=plan, phase=Phase.PXE_READY, authority=True)

    assert later.ask(asks(1), known).why is (Why.ADDRESS_IN_USE)


@pytest.mark.parametrize(
    ("fields", "gateway"),
    [
        ({}, "10.77.0.254"),
        ({"giaddr": "10.88.0.1"}, "10.88.0.1"),
        ({"giaddr": "10.77.0.9"}, "10.77.0.254"),
        ({"giaddr": "172.16.0.1", "options": {Option.RELAY: b"\5\4\x0a\x58\0\0"}}, "10.88.0.1"),
        ({"giaddr": "10.77.0.9", "options": {Option.RELAY: b"\1\1a\5\4\x0a\x58\0\0"}}, "10.88.0.1"),
        ({"options": {Option.SUBNET_SELECTION: b"\x0a\x58\0\0"}}, "10.88.0.1"),
        ({"giaddr": "10.88.0.1", "options": {Option.RELAY: b"\5\3abc"}}, "10.88.0.1"),
    ],
)
def test_a_client_is_given_an_address_of_the_network_that_it_is_on(fields, gateway):
    offer = Site(network(), far()).ask(asks(7, **fields))

    assert offer.told[Option.ROUTER] == address(gateway)
    assert offer.yiaddr.rpartition(".")[0] == gateway.rpartition(".")[0]


@pytest.mark.parametrize("mode", list(Mode))
def test_each_mode_holds_through_a_relay_too(mode):
    kinds = {Mode.FULL: Kind.OFFER, Mode.RESERVED: None, Mode.PROXY: None, Mode.OFF: None}
    said = Site(network(), far(mode)).ask(asks(7, giaddr="10.88.0.1", options=UEFI))

    assert (None if isinstance(said, Ignored) else said.kind) is kinds[mode]


def test_of_a_network_that_nobody_told_of_only_planned_machines_are_answered():
    site = Site(network(), reservations=TABLE)

    assert site.ask(asks(2, giaddr="172.16.0.1")).why is Why.NOT_OURS
    assert site.ask(asks(1, giaddr="172.16.0.1"), KNOWN).yiaddr == make.ADDRESS


def test_a_client_that_renews_across_a_router_is_of_its_own_network():
    site = Site(network(), far())
    held = site.lease(3, giaddr="10.88.0.1")

    assert site.renew(3, held).told[Option.ROUTER] == address("10.88.0.1")


@pytest.mark.parametrize("code", firmware.ARCHITECTURES)
def test_an_unknown_machine_is_given_a_loader_and_then_the_constant_script(code):
    site, row = Site(network()), firmware.ARCHITECTURES[code]
    vendor = b"HTTPClient" if row.http else b"PXEClient"
    wants = {Option.VENDOR_CLASS: vendor, Option.ARCHITECTURE: code.to_bytes(2, "big")}

    loader = site.discover(5, wants).boot_file
    script = site.discover(5, {**wants, **IPXE}).boot_file

    assert firmware.loader_name(loader.rpartition("/")[2]) == row.loader
    assert script == f"{make.URL}/ipxe/52%3A54%3A00%3Aaa%3A00%3A05"


@pytest.mark.parametrize("options", FIRMWARE.values(), ids=FIRMWARE)
def test_a_stranger_that_wants_to_boot_is_a_discovery(options):
    assert dhcp.discovered(asks(2, options=options), None)
    assert not dhcp.discovered(asks(1, options=options), KNOWN)
    assert not dhcp.discovered(asks(2, options={Option.VENDOR_CLASS: b"udhcp 1.35"}), None)


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.RESERVED, Mode.PROXY])
def test_a_network_chooses_loaders_and_a_machine_of_it_another(mode):
    loaders = (("bios", "ipxe.pxe"), ("uefi-x64", "shimx64.efi"))
    site = Site(network(mode, loaders=loaders, strangers_boot=True), reservations=TABLE)
    plan = make.plan(mac=mac(1), loaders={"uefi-x64": "ipxe.efi"})
    chosen = Known(plan=plan, phase=Phase.PXE_READY, authority=True)

    assert site.ask(asks(1, options=UEFI), KNOWN).boot_file == "shimx64.efi"
    assert site.ask(asks(1, options=BIOS), KNOWN).boot_file == "ipxe.pxe"
    assert site.ask(asks(1, options=HTTP), KNOWN).boot_file == f"{make.URL}/loaders/shimx64.efi"
    assert site.ask(asks(1, options=UEFI), chosen).boot_file == "ipxe.efi"
    assert site.ask(asks(1, options=IPXE), KNOWN).boot_file.startswith(f"{make.URL}/boot/")
    if mode is not Mode.RESERVED:
        assert site.ask(asks(2, options=UEFI)).boot_file == "shimx64.efi"


def test_beside_another_server_no_chain_of_grub_is_chosen_for_anybody():
    names = ["shimx64.efi", "grubx64.efi", "snponly.efi"]
    chosen = replace(SERVER, chains=chains(names, names), beside=beside(names))
    signed = replace(SERVER, beside=beside([*names, "snponly-shim.efi"]))

    def told(mode, server, **changes):
        site = Site(network(mode, **changes), reservations=TABLE, server=server)
        return site.ask(asks(1, options=UEFI), KNOWN).boot_file

    assert told(Mode.FULL, chosen) == "shimx64.efi"
    assert told(Mode.PROXY, chosen) == "snponly.efi"
    assert told(Mode.PROXY, signed) == "snponly-shim.efi"
    assert told(Mode.PROXY, chosen, loaders=(("uefi-x64", "shimx64.efi"),)) == "shimx64.efi"


@pytest.mark.parametrize("name", ["no-such.efi", "../etc/passwd", ""])
def test_a_loader_that_is_not_of_the_table_is_passed_over(name):
    site = Site(network(loaders=(("uefi-x64", name),)), reservations=TABLE)

    assert site.ask(asks(1, options=UEFI), KNOWN).boot_file == "snponly.efi"


def proxy(**changes):
    return Site(network(Mode.PROXY, **changes))


@pytest.mark.parametrize("options", FIRMWARE.values(), ids=FIRMWARE)
def test_a_proxy_says_what_to_boot_and_gives_no_address(options):
    offer = proxy().ask(asks(1, options=options), KNOWN)

    assert (offer.kind, offer.yiaddr, offer.to) == (Kind.OFFER, ANY, (BROADCAST, 68))
    assert not {Option.LEASE_TIME, Option.SUBNET_MASK, Option.ROUTER} & set(offer.told)
    assert offer.boot_file
    assert offer.told[Option.VENDOR_CLASS] == options[Option.VENDOR_CLASS][:10].rstrip(b":")


def test_a_proxy_tells_a_bios_to_start_at_once_and_nobody_else():
    told = {name: proxy().ask(asks(1, options=o), KNOWN).told for name, o in FIRMWARE.items()}

    marked = {name: options.get(Option.VENDOR) for name, options in told.items()}
    assert marked == {"bios": BOOT_AT_ONCE, "uefi": None, "http": None, "ipxe": None}


def test_a_proxy_never_gives_ipxe_the_loader_again():
    offer = proxy().ask(asks(1, options=IPXE), KNOWN)

    assert offer.boot_file.startswith(f"{make.URL}/boot/")


def test_a_proxy_leaves_strangers_alone_unless_it_is_to_boot_them():
    assert proxy().ask(asks(2, options=UEFI)).why is Why.NOT_OURS
    assert proxy(strangers_boot=True).ask(asks(2, options=UEFI)).boot_file == "snponly.efi"


def test_a_proxy_says_nothing_to_who_does_not_boot():
    assert proxy().ask(asks(1), KNOWN).why is Why.NOT_BOOTING


def test_a_proxy_leaves_the_choice_of_an_address_to_the_other_server():
    said = proxy().ask(asks(1, Kind.REQUEST, UEFI), KNOWN)

    assert said.why is Why.NO_ANSWER_DUE


@pytest.mark.parametrize("booting", [{}, UEFI], ids=["system", "firmware"])
def test_a_proxy_hears_which_address_its_machine_takes_of_the_other_server(booting):
    taken = {Option.REQUESTED_ADDRESS: address("10.77.0.150")}
    theirs = {Option.SERVER_ID: address("10.77.0.2")}
    ours = {Option.SERVER_ID: address("10.77.0.1")}

    def said(request, known=KNOWN):
        return proxy().ask(request, known)

    first = said(asks(1, Kind.REQUEST, {**booting, **taken, **theirs}))
    assert (first.why, first.detail) == (Why.ANOTHERS_ADDRESS, "10.77.0.150")
    again = said(asks(1, Kind.REQUEST, {**booting, **taken}))
    assert (again.why, again.detail) == (Why.ANOTHERS_ADDRESS, "10.77.0.150")
    assert said(asks(1, Kind.REQUEST, {**booting, **taken, **ours})).why is not first.why
    assert said(asks(2, Kind.REQUEST, {**taken, **theirs}), None).why is Why.NOT_OURS


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.INFORM])
@pytest.mark.parametrize("options", [BIOS, UEFI], ids=["bios", "uefi"])
def test_who_asks_on_port_4011_is_answered_where_it_asked(kind, options):
    request = asks(
        1,
        kind,
        options,
        ciaddr="10.77.0.50",
        source="10.77.0.50",
        port=4011,
        service=PROXY_PORT,
    )

    ack = proxy().ask(request, KNOWN)

    assert (ack.kind, ack.to, ack.yiaddr) == (Kind.ACK, ("10.77.0.50", 4011), ANY)
    assert ack.boot_file in {"undionly.kpxe", "snponly.efi"}


def test_who_asks_on_port_4011_without_an_address_is_answered_at_its_source():
    request = asks(1, Kind.REQUEST, UEFI, source="10.77.0.50", port=68, service=PROXY_PORT)

    assert proxy().ask(request, KNOWN).to == ("10.77.0.50", 68)


RICH = network(
    ntp=(IPv4Address("10.77.0.3"), IPv4Address("10.77.0.4")),
    search=("rack.test", "test"),
    mtu=9000,
    routes=(Route(IPv4Network("10.9.0.0/17"), IPv4Address("10.77.0.2")),),
)


def test_a_client_is_told_what_it_lists_and_no_more():
    listed = {Option.PARAMETERS: bytes((1, 26, 42))}

    told = Site(RICH).discover(1, listed).told

    assert told[Option.MTU] == (9000).to_bytes(2, "big")
    assert told[Option.NTP] == address("10.77.0.3") + address("10.77.0.4")
    assert not {Option.ROUTER, Option.DNS, Option.SEARCH, Option.ROUTES} & set(told)


def test_classless_routes_hold_the_gateway_too_since_who_takes_them_ignores_it_elsewhere():
    told = Site(RICH).discover(1).told

    first = bytes((17, 10, 9, 0)) + address("10.77.0.2")
    assert told[Option.ROUTES] == first + b"\0" + address("10.77.0.254")


def test_search_domains_are_written_as_dns_does():
    assert Site(RICH).discover(1).told[Option.SEARCH] == b"\4rack\4test\0\4test\0"


def test_a_known_machine_is_told_of_its_network_what_no_plan_says():
    site = Site(RICH, reservations=TABLE)

    told = site.ask(asks(1), KNOWN).told

    assert told[Option.MTU] == (9000).to_bytes(2, "big")
    assert told[Option.ROUTER] == address("10.77.0.1")
    assert told[Option.HOST_NAME] == b"node-01"
