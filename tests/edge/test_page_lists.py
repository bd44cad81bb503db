"""Lists as pages: the API's queries, at one cost, of what the caller sees, and within bounds."""

import re
from pathlib import Path

import click
import pytest

import edge
from edge.cli.main import CATALOGUE
from edge.pages import frame
from models import database as pool
from models.commands import approvals, asks, inventory
from models.observations import Seen
from tests.edge import fleet
from tests.edge.conftest import Api
from tests.edge.signed_in import Browser, text
from tests.models import make as domain

pytestmark = pytest.mark.services

TEMPTER = '<img src=x onerror="alert(1)">'
RIGHT_TO_LEFT = "خادم التخزين\u202e"
LISTS = ("/", "/?view=table", "/workflows", "/discoveries", "/approvals", "/sites", "/audit")
STATIC = Path(edge.__file__).parent / "static"


@pytest.fixture
def scene(db):
    return domain.Scene()


@pytest.fixture
def person(app):
    return Browser(app)


@pytest.fixture
def ten(site, database_url):
    """Ten machines."""
    fleet.enter(database_url, site["id"], 10)


@pytest.fixture
def statements(monkeypatch):
    """Every statement that is sent, in order."""
    sent, execute = [], pool.database.execute_sql
    monkeypatch.setattr(
        pool.database, "execute_sql", lambda *a, **k: (sent.append(a), execute(*a, **k))[1]
    )
    return sent


def pages(person, scene):
    """Return the path of every page there is to read."""
    flow = scene.view.workflow.id
    return (
        *LISTS,
        f"/machines/{scene.machine}",
        f"/machines/{scene.machine}/release",
        f"/machines/{scene.machine}/approve",
        f"/workflows/{flow}",
        "/sites/ams-1",
        "/new-site",
        "/sites/ams-1/new-machine",
        "/sites/ams-1/new-network",
    )


# --- one query for pages and API ---


@pytest.mark.parametrize(
    ("page", "api_path"),
    [
        ("/?search=fleet-000003", "/v1/machines?search=fleet-000003"),
        ("/?label=role%3Dhead&sort=-hostname", "/v1/machines?label=role=head&sort=-hostname"),
        ("/?limit=3", "/v1/machines?limit=3"),
    ],
)
def test_a_pages_query_is_the_apis(api, ten, person, page, api_path):
    shown = re.findall(r'class="name" dir="auto">([^<]+)', person.get(page).text)

    assert shown == [row["hostname"] for row in api.get(api_path).json["items"]]


@pytest.mark.parametrize(
    "word",
    ["00:00:0a", "10.64.0.5", "sn-4711", "FLEET-000004"],
    ids=["mac", "address", "serial", "name"],
)
def test_a_machine_is_found_by_each_of_its_names(api, site, database_url, person, word):
    fleet.enter(database_url, site["id"], 10)
    with pool.borrowed():
        pool.database.execute_sql(
            """UPDATE machines SET facts = '{"system": {"serial": "SN-4711"}}'
            WHERE hostname = 'fleet-000007'"""
        )

    found = api.get(f"/v1/machines?search={word}").json["items"]

    assert len(found) == 1
    assert found[0]["hostname"] in person.get(f"/?search={word}").text


@pytest.mark.parametrize("path", LISTS)
def test_every_list_goes_on_where_it_ended(site, database_url, person, path):
    fleet.enter(database_url, site["id"], 5)
    mark = "&" if "?" in path else "?"
    first = person.get(f"{path}{mark}limit=2").text
    rows = re.compile(r'<(?:li|tr) id="((?:tile|row|flow|found|approval|site)-[^"]+)"')

    following = re.search(r'rel="next" href="([^"]+)"', first)

    if following is not None:
        second = person.get(following[1].replace("&amp;", "&")).text
        shown, more = (rows.findall(part.partition('class="part"')[2]) for part in (first, second))
        assert len(shown) == 2
        assert more
        assert set(shown) & set(more) == set()


@pytest.mark.parametrize(
    "path",
    ["/?state=asleep", "/?sort=memory", "/workflows?kind=explode", "/?cursor=x", "/audit?to=me"],
)
def test_a_query_that_makes_no_sense_is_refused_with_words(person, path):
    answer = person.get(path)

    assert answer.status_code == 422
    assert "<h1>" in answer.text


def test_what_a_form_left_empty_narrows_nothing(person, scene):
    assert "node-01" in person.get("/?architecture=&label=&sort=").text


# --- at one cost ---


def test_the_statements_of_a_page_are_as_many_for_10_as_for_1000_machines(
    app, site, database_url, person, statements
):
    def counted():
        found = {}
        for path in (*LISTS, "/sites/ams-1", "/?limit=500", "/workflows?limit=500"):
            statements.clear()
            assert person.get(path).status_code == 200, path
            found[path] = len(statements)
        return found

    fleet.enter(database_url, site["id"], 10)
    few = counted()
    fleet.clear(database_url)
    fleet.enter(database_url, site["id"], 1000)

    assert counted() == few


def test_a_page_of_a_thousand_machines_is_under_100_kb(site, database_url, person):
    fleet.enter(database_url, site["id"], 1000)

    sizes = {path: len(person.get(path).data) for path in (*LISTS, "/sites/ams-1")}

    assert {path: size for path, size in sizes.items() if size > 100_000} == {}


def test_a_long_history_is_shown_in_part_until_all_is_asked_for(scene, person):
    flow = scene.provision()
    data = {"name": "debian-12/vmlinuz", "bytes": 8211392, "seconds": 0.41, "sha256": "5c" * 32}
    for _ in range(300):
        scene.agent.report(Seen.TFTP_SENT, scene.machine, run=scene.view.run_id, data=data)

    for path in (f"/machines/{scene.machine}", f"/workflows/{flow}"):
        page = person.get(path)
        assert len(page.data) < 100_000
        assert "Show 240 older rows" in text(page)
        assert person.get(f"{path}?whole=1").text.count('id="seen-') == 300


def test_what_is_served_beside_pages_is_small():
    assert len((STATIC / "sprout.css").read_text().splitlines()) < 400
    assert len((STATIC / "sprout.js").read_bytes()) < 5 << 10


# --- of what the caller sees ---


def test_whoever_is_bound_to_a_site_reads_nothing_of_another(app, scene):
    far = domain.site("far-1")
    machine = domain.machine(far, "far-node", [domain.interface("52:54:00:00:07:07")])
    new = approvals.NewApproval(machine_id=machine, action="release", decision="approved")
    approvals.create_approval(domain.ADMIN, new)
    person = Browser(app, grants=[("admin", "ams-1")], name="eve")

    for path in LISTS:
        page = person.get(path)
        assert page.status_code == 200
        assert "far-" not in page.text, path
        assert str(machine) not in page.text
    for path in (f"/machines/{machine}", f"/machines/{machine}/release", "/sites/far-1"):
        assert person.get(path).status_code == 404
    assert person.get("/?siteId=far-1").status_code == 404


def test_a_viewer_is_shown_no_button_that_he_may_not_press(app, scene):
    viewer = Browser(app, grants=[("viewer", None)], name="vi")

    assert "asking" not in viewer.get(f"/machines/{scene.machine}").text
    for path in ("/", "/sites", "/sites/ams-1", f"/machines/{scene.machine}"):
        assert not re.search(r'href="[^"]*(/new-|/provision|/commission)', viewer.get(path).text)
    assert viewer.get(f"/machines/{scene.machine}/commission").status_code == 403
    assert viewer.get("/new-site").status_code == 403


# --- whatever stands in names ---


def test_nothing_that_was_entered_is_run_on_any_page(app, scene, person):
    hostile = f"{TEMPTER}{RIGHT_TO_LEFT}{'x' * 150}"
    inventory.create_site(domain.ADA, name=hostile, slug="odd", labels={TEMPTER: TEMPTER})
    asks.commission(domain.ADA, scene.machine, reason=hostile)
    new = approvals.NewApproval(
        machine_id=scene.machine, action="release", decision="approved", reason=hostile
    )
    approval = approvals.create_approval(domain.ADMIN, new)

    for path in (*pages(person, scene), f"/approvals/{approval}", "/sites/odd"):
        page = person.get(path)
        assert page.status_code == 200, path
        assert "<img" not in page.text, path
    assert TEMPTER in text(person.get("/workflows"))


def test_no_page_holds_a_script_or_a_style_of_its_own(scene, person):
    scene.provision()
    for path in pages(person, scene):
        page = person.get(path).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page), path


# --- what every page says ---


def test_every_page_says_how_the_same_is_asked_by_machine(scene, person):
    scene.provision()
    for path in pages(person, scene):
        page = text(person.get(path))
        assert "curl -H" in page, path
        assert re.search(r"sprout [a-z0-9-]+ [a-z]", page), path


def test_the_commands_that_pages_show_have_the_options_that_they_name():
    for command, words in frame.OPTIONS.items():
        _, group, verb = command.split()
        entry = next(each[group] for each in CATALOGUE.values() if group in each)
        shown = entry.load(group).get_command(click.Context(click.Command(group)), verb)
        options = {option for each in shown.params for option in each.opts}
        assert {f"--{frame.kebab(word)}" for word in words} <= options, command


def test_every_page_has_one_heading_and_says_where_it_is(scene, person):
    scene.provision()
    for path in pages(person, scene):
        page = person.get(path).text
        assert page.count("<h1") == 1, path
        assert page.count('aria-current="page"') == 1, path


def test_an_empty_place_teaches_how_to_begin(app, db):
    person = Browser(app)

    taught = {path: text(person.get(path)) for path in LISTS}

    assert "sprout sites create" in taught["/"]
    assert "Create a site" in taught["/sites"]
    assert "sprout discoveries accept" in taught["/discoveries"]
    assert "sprout approvals create" in taught["/approvals"]
    assert "sprout machines commission" in taught["/workflows"]


def test_pages_and_api_show_the_same_to_a_token(app, scene):
    assert "node-01" in Api(app).get("/", headers={"Accept": "text/html"}).text
