"""What a person sees of a rebuild, in a real browser before a real edge: registered by hand, led by
what the host fetches and calls over real HTTP, to ready; nothing is loaded anew by hand.
"""

import re
from uuid import UUID

import pytest
from playwright.sync_api import expect

from models import queries
from models.commands import asks, root_password, server_types
from models.errands import Errand
from models.phases import Phase
from tests.edge import racked
from tests.edge.browser import listening
from tests.edge.test_pages_by_hand import reach
from tests.models import make
from tests.models.test_installer_calls import INSTALLED
from tests.models.test_proxmox import Host, webhook
from tests.pxe_stack import web

pytestmark = pytest.mark.services

FORMS = {"Host name": "PVE1", "MAC of the card that it boots from": make.MAC}
WIDTHS = (360, 900, 1600)


@pytest.fixture
def settings(settings, tmp_path):
    types = racked.types(tmp_path)
    server_types.follow_file(types)
    root_password.choose(racked.HASH)
    yield settings | {
        "SPROUT_SERVER_TYPES_FILE": str(types),
        "SPROUT_PROXMOX_ROOT_PASSWORD_HASH": racked.HASH,
        "SPROUT_INFRASTRUCTURE_URL": "http://127.0.0.1:1",
    }
    root_password.choose("")
    server_types.follow_file(None)


class Unregistered(Host):
    """One that somebody has yet to register."""

    def registered(self):
        return None


@pytest.fixture
def host(db, tmp_path):
    with web.serving(tmp_path) as site:
        yield Unregistered(site)


def same(page):
    """Mark the document, to be told later whether it was loaded anew."""
    page.evaluate("window.same = true")


def stands(page, state):
    expect(page.locator(".head .state")).to_have_text(state)
    expect(page.locator(".stepper [aria-current=step] .name")).to_have_text(state)


def test_a_host_is_registered_and_rebuilt_and_its_page_goes_with_it_until_it_is_ready(page, host):
    page.goto("/")
    page.get_by_role("main").get_by_role("link", name="Register host").first.click()
    for label, words in FORMS.items():
        page.get_by_label(label, exact=True).fill(words)
    page.get_by_label("Server type").select_option(label="Minisforum MS-01, wipes /dev/nvme0n1")
    page.get_by_role("button", name="Register").click()
    stands(page, "registered")
    host.machine = queries.machine("pve1").id

    page.get_by_role("link", name="Rebuild…").click()
    expect(page.get_by_role("region", name="What will happen")).to_contain_text("/dev/nvme0n1")
    page.get_by_label("Host name, to be sure").fill("pve1")
    page.get_by_role("button", name="rebuild pve1").click()
    expect(page).to_have_url(re.compile("/ops/"))
    flow = UUID(page.url.rpartition("/")[2])

    listening(page, f"/hosts/{host.machine}")
    same(page)
    host.take_up(flow)
    stands(page, "pxe_ready")
    expect(page.locator(".why .sentence")).to_contain_text("power it on and boot from the network")
    host.netboot()
    stands(page, "pxe_booted")
    answer = host.ask_for_answer()
    stands(page, "installing")
    host.call("GET", answer["first-boot"]["url"])
    host.call("POST", webhook(answer), INSTALLED)
    stands(page, "installed")
    host.home()
    stands(page, "joining")
    racked.run_errand(Errand.INFRASTRUCTURE_REGISTER)

    expect(page.locator(".head .state")).to_have_text("ready")
    expect(page.locator(".stepper .past")).to_have_count(8)
    expect(page.locator(".facts")).to_contain_text("4C4C4544")
    assert page.evaluate("window.same") is True
    page.goto(f"/ops/{flow}")
    expect(page.locator(".head .state")).to_have_text("succeeded")
    expect(page.get_by_role("link", name="pve1").first).to_be_visible()


def test_a_tile_goes_through_the_states_of_its_host_without_a_reload(page, db):
    rack = racked.Racked()
    host = rack.host("pve-01", make.MAC)
    listening(page, "/")
    same(page)
    tile = page.locator(f"#tile-{host}")
    expect(tile.locator(".state")).to_have_text("registered")

    flow = rack.rebuild(host)
    expect(tile.locator(".wait")).to_contain_text("the boot owner to hold the plan")
    rack.bring(host, Phase.PXE_READY)
    expect(tile.locator(".wait")).to_contain_text("power it on and boot from the network, until")
    rack.bring(host, Phase.INSTALLING)
    expect(tile.locator(".state")).to_have_text("installing")
    expect(tile.get_by_label("Boot: installing")).to_be_visible()
    asks.cancel(make.ADMIN, flow)
    expect(tile.locator(".state")).to_have_text("failed")

    assert page.evaluate("window.same") is True


def test_a_host_is_registered_rebuilt_and_cancelled_by_keyboard_alone(page, db):
    racked.Racked()
    page.goto("/")
    reach(page, "^Register host$")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Register a host")
    for label, words in (("^Host name", "pve-01"), ("^MAC of", make.MAC)):
        reach(page, label)
        page.keyboard.type(words)
    page.keyboard.press("Enter")

    expect(page.locator("h1")).to_have_text("pve-01")
    reach(page, "^Rebuild…$")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("rebuild pve-01")
    reach(page, "^Host name, to be sure")
    page.keyboard.type("pve-01")
    page.keyboard.press("Enter")

    expect(page.locator(".head .state")).to_have_text("running")
    reach(page, "^cancel…$")
    page.keyboard.press("Enter")
    reach(page, "^Reason")
    page.keyboard.type("not this one")
    page.keyboard.press("Enter")
    expect(page.locator(".head .state")).to_have_text("cancelled")
    assert queries.machine("pve-01").workflow.progress == "cancelled"


@pytest.fixture
def everywhere(db):
    """The path of each page of hosts, with hosts in several states and a long name."""
    rack = racked.Racked()
    idle = rack.host("pve-00", "52:54:00:aa:00:00")
    long = rack.host(f"{'rack-a-' * 8}pve.{'row-' * 12}x.example.org", "52:54:00:aa:00:01")
    late = rack.rebuild(long)
    rack.bring(long, Phase.PXE_BOOTED)
    make.overdue(late)
    busy = rack.host("pve-02", "52:54:00:aa:00:02", "minisforum-um790")
    flow = rack.rebuild(busy, reason="خادم" * 20)
    rack.bring(busy, Phase.INSTALLING)
    return (
        "/",
        "/?view=table",
        "/new-host",
        *(f"/hosts/{host}" for host in (idle, long, busy)),
        f"/hosts/{idle}/rebuild",
        f"/hosts/{busy}/rebuild",
        f"/hosts/{long}/delete",
        f"/ops/{flow}",
        f"/ops/{late}",
        "/isos",
        "/new-iso",
    )


def violations(page, axe_core):
    """Return what axe finds on the page as it is, in both schemes."""
    page.evaluate(axe_core)
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        wrong = page.evaluate("axe.run()")["violations"]
        found += [(scheme, v["id"], [n["html"][:140] for n in v["nodes"]]) for v in wrong]
    return found


def test_axe_finds_nothing_on_any_page_of_hosts_and_nothing_is_too_wide(page, everywhere, axe_core):
    found, wide = {}, []
    for path in everywhere:
        page.goto(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((path, width))
        found[path] = violations(page, axe_core)

    assert {path: each for path, each in found.items() if each} == {}
    assert wide == []


def test_axe_finds_nothing_where_a_fleet_is_empty(page, db, axe_core):
    make.site("home")
    page.goto("/")
    expect(page.get_by_role("heading", name="No host yet")).to_be_visible()

    assert violations(page, axe_core) == []
