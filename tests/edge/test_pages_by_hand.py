"""The pages by keyboard, without scripts, at every width, and with a thousand machines."""

import re

import pytest
from playwright.sync_api import expect

from models import queries
from models.commands import approvals, asks, discoveries, walks
from models.kinds import Kind, Progress
from models.observations import Seen
from tests.edge import fleet
from tests.edge.browser import listening, sign_in_url
from tests.models import make
from tests.models.test_discoveries import Teller, sighting

pytestmark = pytest.mark.services

LONG = f"{'rack-a-' * 8}node.{'row-' * 12}x.example.org"


@pytest.fixture
def scene(db):
    return make.Scene()


@pytest.fixture
def whole(scene):
    """A site with one of everything, and long names: the path of each page."""
    Teller(scene.agent).tell(*(sighting(f"52:54:00:99:00:0{n}") for n in range(3)))
    long = make.machine(
        scene.site, LONG, [make.interface("52:54:00:00:00:09")], labels={"note": "خادم" * 20}
    )
    flow = asks.commission(make.ADA, long, reason="x" * 300)
    walks.advance(flow, make.render)
    scene.agent.fail(flow, retryable=False)
    new = approvals.NewApproval(machine_id=long, action="release", decision="approved")
    approval = approvals.create_approval(make.ADMIN, new)
    scene.powered(scene.provision())
    return (
        "/",
        "/?view=table",
        "/?search=zzz",
        "/workflows",
        "/discoveries",
        "/approvals",
        "/sites",
        "/audit",
        f"/machines/{long}",
        f"/machines/{long}/provision",
        f"/machines/{scene.machine}",
        f"/machines/{long}/approve",
        f"/workflows/{scene.view.workflow.id}",
        f"/workflows/{flow}",
        f"/discoveries/{discoveries.listed()[0].id}",
        f"/approvals/{approval}",
        "/sites/ams-1",
        "/new-site",
        "/images",
        "/new-image",
        f"/images/{scene.image}",
        "/profiles",
        f"/profiles/{scene.profile}",
        f"/profiles/{scene.profile}/delete",
        "/sites/ams-1/new-machine",
        "/sites/ams-1/allocate",
    )


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def arrived(page, title):
    """Wait for the page that is called so, and for its scripts: they hear the keys."""
    expect(page.locator("h1")).to_have_text(title)
    page.wait_for_load_state()


def reach(page, name):
    """Go on by Tab to the link, button or field called *name*, which has the focus then."""
    wanted = re.compile(name)
    for _ in range(60):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "document.activeElement.labels?.[0]?.textContent || document.activeElement.textContent"
        )
        if wanted.search(" ".join(told.split())):
            return
    raise AssertionError(f"Tab never came to {name}")


# --- by keyboard ---


def test_a_machine_is_registered_provisioned_and_cancelled_by_keyboard_alone(page, scene):
    page.goto("/")
    reach(page, "^Register$")
    press(page, "Enter")
    expect(page.locator("h1")).to_have_text("Register a machine")
    for label, words in (
        ("^Host name", "node-77"),
        ("^MAC of", "52:54:00:00:77:77"),
        ("^BMC optional", "http://127.0.0.1:1"),
        ("^BMC password", "env:X"),
        ("^Serial number", "S77"),
    ):
        reach(page, label)
        page.keyboard.type(words)
    press(page, "Enter")

    expect(page.locator("h1")).to_have_text("node-77")
    reach(page, "^provision$")
    press(page, "Enter")
    expect(page.get_by_role("region", name="What will happen")).to_contain_text(
        "Wipes the disk S77"
    )
    reach(page, "^Host name, to be sure")
    page.keyboard.type("node-77")
    press(page, "Enter")

    expect(page.locator("h1")).to_have_text("provision")
    expect(page.locator(".head .state")).to_have_text("running")
    reach(page, "^Reason")
    page.keyboard.type("not this one")
    reach(page, "^Cancel provision$")
    press(page, "Enter")
    expect(page.locator(".head .state")).to_have_text("cancelled")
    assert queries.machine("node-77").workflow.progress is Progress.CANCELLED


def test_keys_lead_to_the_places_of_the_rail_and_write_nothing_into_fields(page, scene):
    page.goto("/")

    press(page, "g", "w")
    arrived(page, "Workflows")
    press(page, "g", "a")
    arrived(page, "Approvals")
    press(page, "g", "m")
    arrived(page, "Machines")
    press(page, "/")
    page.keyboard.type("gw?")
    expect(page.get_by_role("searchbox")).to_have_value("gw?")


def test_the_keys_are_shown_and_go_away_again(page, scene):
    page.goto("/")

    press(page, "?")
    expect(page.get_by_role("dialog")).to_be_visible()
    press(page, "Escape")

    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_site_that_is_chosen_goes_along_and_stands_in_the_url(page, scene):
    far = make.site("far-1")
    make.machine(far, "far-node", [make.interface("52:54:00:00:08:08")])
    page.goto("/")
    expect(page.locator(".tile")).to_have_count(2)

    page.locator(".menu:not(.who) summary").click()
    page.get_by_role("link", name="far-1").first.click()
    expect(page).to_have_url(re.compile(r"siteId=far-1"))
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_role("link", name="Workflows").click()

    expect(page).to_have_url(re.compile(r"/workflows\?siteId=far-1"))


def test_signing_out_ends_the_session(page, served, scene):
    page.goto("/")
    page.locator(".menu.who summary").click()
    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_text("This browser is signed out here.")).to_be_visible()
    page.goto("/")
    expect(page).to_have_url(f"{served.url}/sign-in")


# --- without scripts ---


def test_pages_read_and_ask_without_scripts(chromium, served, scene):
    context = chromium.new_context(base_url=served.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(sign_in_url(served))
    page.get_by_role("button", name="Sign in").click()
    for name in ("Discoveries", "Workflows", "Approvals", "Sites", "Audit", "Machines"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page.locator("h1")).to_have_text(name)

    page.get_by_role("link", name="node-01").click()
    page.get_by_role("link", name="commission", exact=True).click()
    page.get_by_label("Reason").fill("without scripts")
    page.get_by_role("button", name="commission node-01").click()
    expect(page.locator(".head .state")).to_have_text("running")
    page.get_by_role("button", name="Cancel commission").click()

    expect(page.locator(".head .state")).to_have_text("cancelled")
    context.close()


# --- by eye and ear ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page_and_nothing_is_too_wide(page, whole, axe_core, scheme):
    page.emulate_media(color_scheme=scheme)
    found = {}
    for path in whole:
        for width in (360, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.evaluate(axe_core)
        wrong = page.evaluate("axe.run()")["violations"]
        found[path] = [(v["id"], [n["html"][:140] for n in v["nodes"]]) for v in wrong]

    assert {path: each for path, each in found.items() if each} == {}


def test_a_row_is_36_px_and_a_tile_104(page, scene):
    page.goto("/")
    assert page.locator(".tile").bounding_box()["height"] == 104
    page.goto("/?view=table")
    assert page.locator("tbody tr").bounding_box()["height"] in range(35, 38)


# --- a thousand ---


def test_a_thousand_machines_come_as_one_looks_and_only_what_changed_is_touched(
    page, scene, database_url
):
    fleet.enter(database_url, scene.site, 1000)
    machine = make.machine(scene.site, "zulu", [make.interface("52:54:00:00:08:08")])
    listening(page, "/?sort=-hostname")
    expect(page.locator(".tile")).to_have_count(100)
    for parts in range(2, 12):
        page.locator("a[rel=next]").scroll_into_view_if_needed()
        expect(page.locator(".part")).to_have_count(parts)
    expect(page.locator(".tile")).to_have_count(1002)
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(
        """window.touched = new Set();
        new MutationObserver((seen) => seen.forEach(({ target }) => {
            const tile = target.parentElement?.closest(".tile") || target.closest?.(".tile");
            const time = (target.closest ? target : target.parentElement)?.closest("time");
            if (tile && !time) window.touched.add(tile.id);
        })).observe(document.body, { subtree: true, childList: true, characterData: true,
                                     attributes: true, attributeFilter: ["class", "title"] });"""
    )

    asks.moved(make.ADMIN, machine, Kind.RETIRE)
    tile = page.locator(f"#tile-{machine}")
    expect(tile).to_contain_text("retired")

    assert page.evaluate("[...window.touched]") == [f"tile-{machine}"]


def test_a_table_follows_the_stream_too(page, scene):
    listening(page, "/?view=table")
    page.evaluate("window.same = true")

    flow = scene.provision()
    row = page.locator(f"#row-{scene.machine}")
    expect(row).to_contain_text("waiting for plan-served")
    scene.powered(flow)
    expect(row).to_contain_text("waiting for netbooted")

    assert page.evaluate("window.same") is True


def test_workflows_and_approvals_follow_the_stream(page, scene):
    listening(page, "/workflows")
    expect(page.get_by_text("Nothing was asked yet")).to_be_visible()

    flow = scene.provision()
    expect(page.locator(f"#flow-{flow}")).to_contain_text("plan-served")
    scene.agent.report(
        Seen.PLAN_REFUSED, scene.machine, run=scene.view.run_id, data={"reason": "no disk.raw"}
    )

    expect(page.locator(f"#flow-{flow}")).to_contain_text("failed")
