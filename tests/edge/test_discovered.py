"""What a person does with machines that nobody entered: one look, one click."""

import re

import pytest
from playwright.sync_api import expect

from models import queries
from models.audit import Caller
from models.commands import discoveries
from models.discoveries import Verdict
from models.tables import Audit
from tests.edge.browser import listening
from tests.edge.conftest import Api
from tests.models import make
from tests.models.test_discoveries import Teller, sighting

pytestmark = pytest.mark.services

TEMPTER = '<img src=x onerror="alert(1)">'
MACS = [f"52:54:00:99:00:{n:02x}" for n in range(8)]


@pytest.fixture
def scene(db):
    return make.Scene()


@pytest.fixture
def tell(scene):
    return Teller(scene.agent).tell


def rows(page):
    return page.locator(".discovered li")


def test_without_strangers_nothing_is_said_of_them(page, scene):
    page.goto("/")

    expect(page.locator(".tile")).to_have_count(1)
    expect(page.get_by_text("Discovered")).to_have_count(0)


def test_a_stranger_appears_by_itself_and_one_click_makes_a_machine_of_it(page, tell):
    listening(page, "/")

    tell(sighting(MACS[1]))
    expect(rows(page)).to_contain_text("x86_64 · ams-1 · by 10.9.0.1")
    rows(page).get_by_role("button", name="Accept").click()

    expect(page).to_have_url(re.compile("/machines/"))
    expect(page.locator("h1")).to_have_text("node-525400990001")
    (view,) = discoveries.listed()
    assert (view.state, view.decided_by) == (Verdict.ACCEPTED, "admin")
    page.goto("/")
    expect(rows(page)).to_have_count(0)
    expect(page.locator(".tile")).to_have_count(2)


def test_the_name_is_the_operators_to_choose_also_while_others_are_found(page, tell):
    tell(sighting(MACS[1]))
    listening(page, "/")
    field = rows(page).get_by_role("textbox")
    field.fill("rack-7")

    tell(sighting(MACS[2]))
    expect(page.locator("#discovered")).to_be_visible()
    page.get_by_role("searchbox").focus()
    tell(sighting(MACS[3]))
    expect(field).to_have_value("rack-7")
    rows(page).get_by_role("button", name="Accept").click()

    expect(page.locator("h1")).to_have_text("rack-7")
    page.goto("/")
    expect(rows(page)).to_have_count(2)


def test_a_list_that_was_held_is_read_when_the_hand_leaves(page, tell):
    tell(sighting(MACS[1]))
    listening(page, "/")
    rows(page).get_by_role("textbox").focus()

    with page.expect_response("**/fragments/discovered"):
        tell(sighting(MACS[2]))
    expect(rows(page)).to_have_count(1)
    page.get_by_role("searchbox").focus()

    expect(rows(page)).to_have_count(2)


def test_ignoring_takes_it_away(page, tell):
    tell(sighting(MACS[1]))
    page.goto("/")

    rows(page).get_by_role("button", name="Ignore").click()

    expect(rows(page)).to_have_count(0)
    (view,) = discoveries.listed()
    assert view.state is Verdict.IGNORED


def test_many_strangers_do_not_hide_the_fleet(page, tell):
    tell(*map(sighting, MACS))
    page.goto("/")

    expect(rows(page)).to_have_count(3)
    expect(page.locator("#discovered-title")).to_contain_text("8")
    expect(page.get_by_text("All 8")).to_be_visible()


def test_a_name_that_is_taken_is_said_at_its_field(page, tell):
    tell(sighting(MACS[1]))
    page.goto("/")
    rows(page).get_by_role("textbox").fill("node-01")

    with page.expect_response("**/accept") as answered:
        rows(page).get_by_role("button", name="Accept").click()

    assert answered.value.status == 409
    expect(page.get_by_role("alert")).to_contain_text("another machine of this site")
    field = page.get_by_label("Host name", exact=True)
    expect(field).to_have_value("node-01")
    expect(field).to_be_focused()
    refused = Audit.get(Audit.outcome == "refused")
    assert (refused.action, refused.data["pointers"]) == ("discovery.accept", ["/hostname"])
    field.fill("node-02")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("h1")).to_have_text("node-02")


def test_who_does_not_say_its_architecture_is_given_one(page, tell):
    tell(sighting(MACS[1], arch=None))
    page.goto("/")

    rows(page).get_by_role("button", name="Accept").click()
    expect(page.get_by_role("alert")).to_contain_text("does not say")
    page.get_by_label("Architecture").select_option("arm64")
    page.get_by_role("button", name="Accept").click()

    expect(page.locator("h1")).to_have_text("node-525400990001")
    assert queries.machine("node-525400990001").architecture == "arm64"


def test_what_became_a_machine_meanwhile_says_which(page, scene, tell):
    tell(sighting(MACS[1]))
    page.goto("/")
    (view,) = discoveries.listed()
    make.machine(scene.site, "by-hand", [make.interface(MACS[1])])

    page.goto(f"/discoveries/{view.id}")
    expect(page.get_by_text("It is a machine, by ada.")).to_be_visible()


def test_nothing_that_a_stranger_says_is_run(page, tell):
    tell(sighting(MACS[1], vendor_class=TEMPTER))
    (view,) = discoveries.listed()

    page.goto(f"/discoveries/{view.id}")

    expect(page.locator(".facts")).to_contain_text(TEMPTER)
    expect(page.locator("img")).to_have_count(0)


@pytest.mark.parametrize("verb", ["accept", "ignore"])
def test_a_form_of_another_page_does_nothing(app, tell, verb):
    tell(sighting(MACS[1]))
    (view,) = discoveries.listed()
    browser = app.test_client()
    with browser.session_transaction() as session:
        session.update(operator="admin", subject="admin", grants=[["admin", None]], csrf="right")

    form = {"hostname": "forged", "csrf_token": "wrong"}
    answer = browser.post(f"/discoveries/{view.id}/{verb}", data=form)

    assert answer.status_code == 403
    assert discoveries.one(view.id).state is Verdict.NEW


def test_what_is_no_architecture_is_refused(app, tell):
    tell(sighting(MACS[1]))
    (view,) = discoveries.listed()
    form = {"hostname": "n-1", "architecture": "vax"}

    answer = Api(app).post(f"/discoveries/{view.id}/accept", data=form)

    assert answer.status_code == 422
    assert "vax" in answer.text


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_at_every_width_in_both_schemes(
    page,
    tell,
    axe_core,
    width,
    scheme,
):
    tell(*(sighting(mac, relay="203.0.113.254") for mac in MACS))
    (view, *_) = discoveries.listed()
    discoveries.ignore(Caller(name="ada"), discoveries.listed()[-1].id)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})

    for path in ("/", f"/discoveries/{view.id}"):
        page.goto(path)
        expect(page.get_by_text(MACS[7]).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate(axe_core)
        assert [each["id"] for each in page.evaluate("axe.run()")["violations"]] == []
