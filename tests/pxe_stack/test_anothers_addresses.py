"""Beside another DHCP server: a machine is served at whatever address that one gives it."""

import pytest

from models import bootplan
from models.bootnet import Mode
from models.bootplan import Access
from models.observations import Seen, Source
from pxe_stack import boot
from pxe_stack.http_message import Request
from pxe_stack.site_directory import Stores
from tests.pxe_stack import make
from tests.pxe_stack.nets import network

PLAN = make.plan()
THEIRS = "10.77.0.150"
"""An address that the other server gave; the plan's is another one of the same network."""
OTHER = "10.77.0.151"
FAR = "10.99.0.9"
PROXY = network(Mode.PROXY, pool_first=None, pool_last=None)


@pytest.fixture
def stores(tmp_path):
    opened = Stores(tmp_path, make.AGENT)
    opened.plans.put(PLAN)
    opened.plans.put_networks([PROXY], version=1)
    yield opened
    opened.close()


def asking(stores, **changes):
    sources = make.sources(stores, clock=lambda: 10.0, **changes)

    def asked(path, client, method="GET"):
        request = Request(method=method, path=path, client=client)
        return boot.answer(sources, request).body.decode()

    return asked


@pytest.fixture
def ask(stores):
    return asking(stores, dhcp_on=True)


def path(access, name):
    return bootplan.url(PLAN, make.KEY, access, name).removeprefix(make.URL)


def heard(stores, address=THEIRS, mac=make.MAC, at=9.0):
    data = {"address": address, "server": "10.77.0.2"}
    seen = make.seen(Seen.DHCP_HEARD, source=Source.DHCP, mac=mac, at=at, data=data)
    stores.journal.append(seen)


def rows(stores, kind):
    return [seen for _, seen in stores.journal.pending(0, 99) if seen.kind is kind]


@pytest.mark.parametrize("client", [THEIRS, OTHER, make.ADDRESS])
def test_the_token_opens_from_any_address_of_the_network_heard_of_or_not(ask, stores, client):
    assert ask(path(Access.SCRIPT, "script"), client).startswith("#!ipxe\nkernel")
    assert ask(path(Access.SEED, "manifest"), client).startswith("version 1")
    ask(path(Access.CALLBACK, "started"), client, "POST")
    assert rows(stores, Seen.INSTALL_STARTED)
    assert not rows(stores, Seen.STRANGE_REQUEST)


def test_from_beyond_the_network_it_opens_nothing(ask, stores):
    assert "nothing to install" in ask(path(Access.SCRIPT, "script"), FAR)
    assert {row.data["why"] for row in rows(stores, Seen.STRANGE_REQUEST)} == {"wrong-address"}


@pytest.mark.parametrize("entry", [f"/ipxe/{make.MAC}", f"/grub/grub.cfg-01-{make.MAC}"])
def test_the_entry_without_a_token_leads_on_only_from_the_address_that_was_heard(
    ask, stores, entry
):
    before = ask(entry, THEIRS)
    heard(stores)

    assert "nothing to install" in before
    assert "/boot/" in ask(entry, THEIRS)
    assert "nothing to install" in ask(entry, OTHER)


@pytest.fixture
def unheard(stores):
    """A site that hears no DHCP, of a network on which it says no word of it."""
    off = network(Mode.OFF, pool_first=None, pool_last=None)
    stores.plans.put_networks([off], version=2)
    return asking(stores, dhcp_on=False)


@pytest.mark.parametrize("client", [THEIRS, make.ADDRESS])
@pytest.mark.parametrize("entry", [f"/ipxe/{make.MAC}", f"/grub/grub.cfg-01-{make.MAC}"])
def test_where_dhcp_is_off_a_machine_boots_from_any_address_of_its_network(unheard, entry, client):
    assert "/boot/" in unheard(entry, client)
    assert unheard(path(Access.SCRIPT, "script"), client).startswith("#!ipxe\nkernel")


@pytest.mark.parametrize("what", [f"/ipxe/{make.MAC}", path(Access.SCRIPT, "script")])
def test_where_dhcp_is_off_it_boots_from_nowhere_else(unheard, what):
    assert "nothing to install" in unheard(what, FAR)


def test_a_site_that_hears_dhcp_leads_nobody_on_whom_it_has_not_heard(stores):
    stores.plans.put_networks([network(Mode.OFF, pool_first=None, pool_last=None)], version=2)
    ask = asking(stores, dhcp_on=True)

    assert "nothing to install" in ask(f"/ipxe/{make.MAC}", THEIRS)


def test_who_takes_another_address_is_there_and_nowhere_else(stores):
    heard(stores)
    heard(stores, OTHER)
    assert stores.directory.by_address(OTHER).plan == PLAN
    assert stores.directory.by_address(THEIRS) is None

    heard(stores, OTHER, mac="52:54:00:00:00:02")
    assert stores.directory.by_address(OTHER) is None


def test_where_the_site_gives_the_addresses_hearsay_opens_nothing(ask, stores):
    heard(stores)
    stores.plans.put_networks([network()], version=2)

    assert "nothing to install" in ask(path(Access.SCRIPT, "script"), THEIRS)
    assert stores.directory.by_address(THEIRS) is None
