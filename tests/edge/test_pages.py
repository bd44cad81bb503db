"""The pages as people meet them: a real edge, a real database, a real browser."""

import re
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import expect

from models.commands import asks, walks
from models.kinds import Kind
from models.observations import Seen
from tests.edge.browser import listening, sign_in_url
from tests.edge.live import hearing
from tests.models import make
from tests.services import process

pytestmark = pytest.mark.services

HIDDEN = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
TEMPTER = '<img src=x onerror="alert(1)">'


@pytest.fixture
def scene(db):
    return make.Scene()


def tile_of(page, hostname):
    return page.locator(".tile", has=page.locator(".name", has_text=re.compile(f"^{hostname}$")))


def streams(served, wanted):
    """Return when the events process holds *wanted* streams."""

    def counted():
        told = served.get("/metrics").text
        (open_now,) = re.findall(r"^sprout_event_streams (\d+)", told, re.MULTILINE)
        if int(open_now) != wanted:
            raise OSError(open_now)

    process.wait_until_ready(served.master, counted, served.log, seconds=60)


# --- in and out ---


def test_a_stranger_gets_a_page_that_says_how_to_sign_in(chromium, served):
    context = chromium.new_context()
    stranger = context.new_page()

    answer = stranger.goto(f"{served.url}/")

    assert (answer.status, answer.url) == (200, f"{served.url}/sign-in")
    expect(stranger.get_by_text("sprout login-url")).to_be_visible()
    context.close()


def test_a_sign_in_url_lets_one_browser_in(chromium, page, served):
    url = sign_in_url(served)
    requests.post(f"{served.url}/sign-in", data={"code": url.rpartition("=")[2]}, timeout=60)
    context = chromium.new_context()
    late = context.new_page()
    late.goto(url)

    with late.expect_response("**/sign-in") as answered:
        late.get_by_role("button", name="Sign in").click()

    assert answered.value.status == 404
    assert late.goto(f"{served.url}/").url == f"{served.url}/sign-in"
    context.close()


# --- live ---


def test_a_tile_goes_through_its_phases_without_a_reload(page, scene):
    listening(page, "/")
    page.evaluate("window.same = true")
    tile = tile_of(page, "node-01")
    expect(tile).to_contain_text("registered")

    flow = scene.provision()
    expect(tile).to_contain_text("waiting for plan-served")
    scene.powered(flow)
    expect(tile).to_contain_text("waiting for netbooted")
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED)
    expect(tile.get_by_label("Boot: installing")).to_be_visible()
    scene.boots(Seen.INSTALLED, Seen.PHONED_HOME)
    expect(tile).to_contain_text("active")
    expect(page.locator("#state-active")).to_contain_text("1")

    assert page.evaluate("window.same") is True


def test_a_machine_grows_its_timeline_without_a_reload(page, scene):
    listening(page, f"/machines/{scene.machine}")
    page.evaluate("window.same = true")
    expect(page.get_by_text("Nothing was asked of it yet.")).to_be_visible()

    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)

    newest = page.locator(".timeline tbody tr").first
    expect(newest).to_contain_text("provision is done")
    expect(page.locator(".step.done")).to_have_count(10)
    expect(page.locator(".why .sentence")).to_contain_text("it is active")
    assert page.evaluate("window.same") is True


def test_the_writing_of_the_image_is_seen_as_it_goes_on(page, scene):
    scene.powered(scene.provision())
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED)
    listening(page, f"/machines/{scene.machine}")

    for written in (10, 40):
        told = {"written": str(written << 20), "total": str(100 << 20)}
        run = scene.view.run_id
        scene.agent.report(Seen.INSTALL_PROGRESS, scene.machine, run=run, data=told)

    expect(page.locator(".step.now")).to_contain_text("40 %")
    expect(page.get_by_text("Written 40 %, 40 of 100 MiB")).to_be_visible()


def test_a_new_machine_appears_by_itself(page, scene):
    listening(page, "/")
    expect(page.locator(".tile")).to_have_count(1)

    make.machine(scene.site, "node-02", [make.interface("52:54:00:00:00:02")])
    asks.commission(make.ADA, scene.machine, reason="adopt")

    expect(page.locator(".tile")).to_have_count(2)


def test_open_details_and_the_focus_outlive_a_re_read(page, scene):
    flow = scene.provision()
    listening(page, f"/machines/{scene.machine}")
    details = page.locator("details.data").first
    row = details.get_attribute("id")
    details.locator("summary").focus()
    page.keyboard.press("Enter")

    scene.powered(flow)

    expect(page.locator(".step.now")).to_contain_text("netbooted")
    expect(page.locator(f"#{row} .said")).to_be_visible()
    expect(page.locator(f"#{row} summary")).to_be_focused()


def test_a_lost_stream_is_said_and_the_page_reads_again_when_it_is_back(
    page, scene, live, settings, tmp_path
):
    listening(page, "/")
    stale = page.locator("#stale")
    expect(stale).to_be_hidden()

    process.stop(live.started)
    expect(stale).to_be_visible()
    flow = scene.provision()
    with hearing(settings, tmp_path):
        expect(stale).to_be_hidden()
        expect(tile_of(page, "node-01")).to_contain_text("waiting for plan-served")
    assert flow


def test_a_page_without_a_stream_asks_by_itself(page, scene, live):
    process.stop(live.started)
    with page.expect_response("**/events/hints") as refused:
        page.goto("/")
    expect(page.locator("#stale")).to_be_visible()

    scene.provision()

    expect(tile_of(page, "node-01")).to_contain_text("waiting for")
    assert refused.value.status == 503


# --- what may stand there ---


def test_an_empty_fleet_teaches_how_to_begin(page):
    expect(page.get_by_text("No machine yet")).to_be_visible()
    expect(page.get_by_text("sprout machines create")).to_be_visible()


def test_a_failed_machine_says_why_and_what_next(page, scene):
    flow = scene.provision()
    scene.agent.report(
        Seen.PLAN_REFUSED, scene.machine, run=scene.view.run_id, data={"reason": "no disk.raw"}
    )
    page.goto(f"/machines/{scene.machine}")

    expect(page.locator(".head .state")).to_have_text("failed")
    expect(page.locator(".why")).to_contain_text("no disk.raw")
    expect(page.locator(".why .next")).to_contain_text("sprout machines provision node-01")
    expect(page.locator(".step.failed")).to_contain_text("plan-served")
    assert flow


def test_a_machine_of_which_nothing_is_known_has_a_page(page, scene):
    bare = make.machine(scene.site, "bare", [], bmc=None, root_disk=None)
    page.goto(f"/machines/{bare}")

    expect(page.get_by_text("Nothing was seen of it yet.")).to_be_visible()
    expect(page.locator(".brief")).to_contain_text("none")


def test_a_simulated_machine_is_said_to_be_one(page, scene):
    labels = {"simulated": "true"}
    machine = make.machine(
        scene.site, "played", [make.interface("52:54:00:00:00:09")], labels=labels
    )

    page.goto("/")
    expect(page.locator(f"#tile-{machine}")).to_contain_text("simulated")
    expect(page.locator(f"#tile-{scene.machine}")).not_to_contain_text("simulated")
    page.goto(f"/machines/{machine}")
    expect(page.locator(".head")).to_contain_text("no firmware, kernel or system runs")


@pytest.mark.parametrize("width", [360, 900, 1600])
def test_long_names_and_right_to_left_text_stay_in_their_place(page, scene, width):
    long = f"{'rack-a-' * 8}node.{'row-' * 12}x.example.org"
    labels = {"note": "خادم الاختبار rack 7", "word": "x" * 300}
    machine = make.machine(scene.site, long, [make.interface("52:54:00:00:00:09")], labels=labels)
    page.set_viewport_size({"width": width, "height": 900})

    for path in ("/", f"/machines/{machine}"):
        page.goto(path)
        expect(page.get_by_text(long).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_that_was_entered_or_reported_is_run(page, scene):
    labels = {"note": TEMPTER}
    machine = make.machine(
        scene.site, "marked", [make.interface("52:54:00:00:00:09")], labels=labels
    )
    asks.commission(make.ADA, machine, reason=TEMPTER)
    scene.agent.report(Seen.TFTP_FAILED, machine, data={"name": TEMPTER, "why": TEMPTER})

    page.goto(f"/machines/{machine}")
    expect(page.locator(".facts")).to_contain_text(TEMPTER)
    expect(page.locator(".timeline tbody tr").first).to_contain_text(TEMPTER)
    page.goto("/?" + urlencode({"search": TEMPTER}))
    expect(page.get_by_role("searchbox")).to_have_value(TEMPTER)

    expect(page.locator("img")).to_have_count(0)


def test_filters_and_search_stand_in_the_url(page, scene):
    make.machine(scene.site, "other", [make.interface("52:54:00:00:00:09")])
    scene.provision()
    page.goto("/")

    page.locator("#state-provisioning").click()
    expect(page).to_have_url(re.compile(r"\?state=provisioning"))
    expect(page.locator(".tile")).to_have_count(1)
    page.goto("/?search=00:00:09")
    expect(tile_of(page, "other")).to_be_visible()
    expect(page.locator(".tile")).to_have_count(1)


# --- by keyboard, by ear, by eye ---


def test_slash_goes_to_the_search_and_writes_no_slash(page, scene):
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("node/1")

    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page.get_by_role("searchbox")).to_have_value("node/1")


def test_a_machine_is_reached_by_keyboard_alone(page, scene):
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("node-01")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"search=node-01"))
    tile_of(page, "node-01").get_by_role("link").focus()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("node-01")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(page, scene, axe_core, scheme):
    page.emulate_media(color_scheme=scheme)
    others = ["failed-01", "resting-01"]
    ids = [
        make.machine(scene.site, name, [make.interface(f"52:54:00:00:01:0{n}")])
        for n, name in enumerate(others)
    ]
    fail(scene, ids[0])
    scene.powered(scene.provision())
    paths = ["/", "/?state=retired", "/nowhere", "/sign-in", "/sign-in?code=x", "/?search=zzz"]

    found = {}
    for path in [*paths, *(f"/machines/{one}" for one in [scene.machine, *ids])]:
        page.goto(path)
        found[path] = violations(page, axe_core)

    assert {path: each for path, each in found.items() if each} == {}


def fail(scene, machine):
    """Have the commissioning of *machine* fail."""
    flow = asks.commission(make.ADA, machine, reason="adopt")
    walks.advance(flow, make.render)
    scene.agent.fail(flow, retryable=False)


def violations(page, axe_core):
    page.evaluate(axe_core)
    found = page.evaluate("axe.run()")["violations"]
    return [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in found]


def test_a_page_that_nobody_looks_at_holds_no_stream_and_reads_again_when_it_is_seen(
    page, scene, served
):
    listening(page, "/")
    tile = tile_of(page, "node-01")
    page.evaluate(HIDDEN, True)
    streams(served, 0)

    asks.moved(make.ADMIN, scene.machine, Kind.RETIRE)
    expect(tile).to_contain_text("registered")
    page.evaluate(HIDDEN, False)

    expect(tile).to_contain_text("retired")
    expect(page.locator("#stale")).to_be_hidden()
    streams(served, 1)
