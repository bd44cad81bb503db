"""A run that is over is offered to nobody again, by whichever way a machine boots; a new one is."""

from dataclasses import replace
from uuid import uuid4

import pytest

from models import bootplan
from models.bootnet import Mode
from models.bootplan import Access, Action
from models.observations import Seen
from pxe_stack import boot, metadata
from pxe_stack.dhcp import Answer, Snapshot, View, answer
from pxe_stack.http_message import Request
from pxe_stack.leases import Leases
from pxe_stack.packets import PROXY_PORT, Kind
from pxe_stack.site_directory import Stores
from pxe_stack.tftp_contract import Contract
from tests.pxe_stack import make
from tests.pxe_stack.nets import SERVER, asks, network, number
from tests.pxe_stack.test_dhcp_modes import BIOS, HTTP, IPXE, UEFI

INSTALLER = "artifacts/os/vmlinuz"
PLAN = make.plan(documents=(*make.plan().documents, make.GRUB))
OVER = [Seen.INSTALLED, Seen.PHONED_HOME, Seen.INSTALL_FAILED]


@pytest.fixture
def stores(tmp_path):
    opened = Stores(tmp_path, make.AGENT)
    opened.plans.put(PLAN)
    opened.journal.append(make.seen(Seen.SCRIPT_SERVED, run=PLAN.run))
    opened.journal.append(make.seen(Seen.INSTALL_STARTED, run=PLAN.run))
    yield opened
    opened.close()


def by_http(stores, path):
    request = Request(method="GET", path=path, client=make.ADDRESS)
    made = boot.answer(make.sources(stores), request)
    return made.body.decode() if made.status.value == 200 else ""


def by_tftp(stores, path):
    found = Contract(make.sources(stores)).find(path, make.ADDRESS)
    return "" if found is None else found.data.decode()


def url(name, access=Access.SCRIPT):
    return bootplan.url(PLAN, make.KEY, access, name).removeprefix(make.URL)


def by_dhcp(stores, mode, options, service=67):
    """Return what the machine is told to start, and what lies there if that is a script."""
    snapshot = Snapshot.of(SERVER, [network(mode)], (), {make.MAC: number(make.ADDRESS)})
    kind = Kind.REQUEST if service == PROXY_PORT else Kind.DISCOVER
    request = asks(1, kind, options, service=service, source=make.ADDRESS, ciaddr=make.ADDRESS)
    request = request._replace(mac=make.MAC)
    decided = answer(request, stores.directory.by_mac(make.MAC), snapshot, View(Leases(), 1.0))
    assert isinstance(decided, Answer), decided
    file = decided.reply.boot_file
    return by_http(stores, file.removeprefix(make.URL)) if "/loaders/" not in file else ""


WAYS = {
    "iPXE's entry": lambda s: by_http(s, f"/ipxe/{make.MAC}"),
    "iPXE's script": lambda s: by_http(s, url("script")),
    "GRUB's entry by HTTP": lambda s: by_http(s, f"/grub/grub.cfg-01-{make.MAC}"),
    "GRUB's script by HTTP": lambda s: by_http(s, url("script.grub")),
    "GRUB's entry by TFTP": lambda s: by_tftp(s, f"/grub/grub.cfg-01-{make.MAC}"),
    "GRUB's script by TFTP": lambda s: by_tftp(s, url("script.grub")),
    "the seed": lambda s: by_http(s, url("manifest", Access.SEED)),
    **{
        f"iPXE told by DHCP, {mode}": lambda s, mode=mode: by_dhcp(s, mode, IPXE)
        for mode in (Mode.FULL, Mode.RESERVED, Mode.PROXY)
    },
    "iPXE told on port 4011": lambda s: by_dhcp(s, Mode.PROXY, IPXE, PROXY_PORT),
}
"""Each returns what the machine reads at its end, "" for nothing."""
OFFERED = (INSTALLER, "version 1", "/script")
"""What is in an answer that leads to an installation."""


def offers(text):
    return any(mark in text for mark in OFFERED)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_while_it_runs_each_way_leads_to_the_installer(stores, way):
    assert offers(way(stores))


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_when_it_is_over_none_does(stores, way, over):
    stores.journal.append(make.seen(over, run=PLAN.run))

    assert not offers(way(stores))


@pytest.mark.parametrize(
    ("action", "over"),
    [
        (Action.WIPE, Seen.WIPED),
        (Action.WIPE, Seen.DEPLOY_FAILED),
        (Action.INVENTORY, Seen.INVENTORIED),
        (Action.INVENTORY, Seen.DEPLOY_FAILED),
    ],
)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_run_for_something_else_is_offered_until_it_is_over(stores, way, action, over):
    stores.plans.put(replace(PLAN, action=action, version=2))
    before = way(stores)

    stores.journal.append(make.seen(over, run=PLAN.run))

    assert (offers(before), offers(way(stores))) == (True, False)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_nor_does_one_without_authority(stores, way):
    stores.plans.put(replace(PLAN, owner=uuid4(), version=2))

    assert not offers(way(stores))


@pytest.mark.parametrize("options", [BIOS, UEFI, HTTP], ids=["bios", "uefi", "http"])
def test_firmware_is_given_its_loader_all_the_same(stores, options):
    stores.journal.append(make.seen(Seen.INSTALLED, run=PLAN.run))

    assert not offers(by_dhcp(stores, Mode.FULL, options))


def test_a_new_run_is_offered_again(stores):
    stores.journal.append(make.seen(Seen.INSTALLED, run=PLAN.run))
    stores.plans.put(replace(PLAN, run=uuid4(), version=2))

    assert offers(by_http(stores, f"/ipxe/{make.MAC}"))
    assert offers(by_tftp(stores, f"/grub/grub.cfg-01-{make.MAC}"))
    assert not offers(by_http(stores, url("script")))


def test_a_seed_closes_with_the_run_as_metadata_does(stores):
    stores.journal.append(make.seen(Seen.INSTALLED, run=PLAN.run))

    assert {by_http(stores, f"/{version}/user-data") for version in metadata.VERSIONS} == {""}
