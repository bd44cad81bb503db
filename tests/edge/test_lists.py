"""Every list of /v1: one way to page, to sort and to narrow, at one cost in statements."""

import base64
import json
import re

import pytest

from models import database as pool
from tests.edge import fleet, make
from tests.edge.conftest import Api

LISTS = (
    "/v1/sites",
    "/v1/sites/ams-1/agents",
    "/v1/networks",
    "/v1/artifacts",
    "/v1/images",
    "/v1/profiles",
    "/v1/machines",
    "/v1/machines/fleet-000001/timeline",
    "/v1/machines/fleet-000001/evidence",
    "/v1/workflows",
    "/v1/discoveries",
    "/v1/ip-allocations",
    "/v1/audit",
    "/v1/audit-seals",
    "/v1/dead-letters",
    "/v1/sync-jobs",
    "/v1/integration-jobs",
    "/v1/api-tokens",
)
FOREIGN = "/v1/events"
"""A stream that is followed, not a list that is paged."""

WHOLE = "/v1/day2-actions"
"""A table of the program's own, which is as long as it is."""


def listings(contract):
    """Yield (path, parameters by name) of each operation that answers a page."""
    for path, methods in contract["paths"].items():
        told = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = told.get("application/json", {}).get("schema", {}).get("$ref", "")
        model = contract["components"]["schemas"].get(schema.rpartition("/")[2], {})
        if "items" in model.get("properties", {}) and path not in {FOREIGN, WHOLE}:
            given = methods["get"].get("parameters", [])
            yield path, {each["name"]: each["schema"] for each in given}


def sorts(app, path):
    known = {re.sub(r"\{\w+\}", "[^/]+", name): given for name, given in listings(app.api_doc)}
    return next(given["sort"]["enum"] for name, given in known.items() if re.fullmatch(name, path))


def walked(api, path, **query):
    """Return the ids of a list, page after page, and how many pages there were."""
    ids, pages, cursor = [], 0, ""
    while cursor is not None:
        answer = api.get(path, query_string={**query, "cursor": cursor})
        assert answer.status_code == 200, answer.json
        ids += [row["id"] for row in answer.json["items"]]
        pages, cursor = pages + 1, answer.json["next"]
    return ids, pages


@pytest.fixture
def many(api, site, database_url):
    fleet.enter(database_url, site["id"], 10)
    return api


def test_every_list_is_asked_in_the_same_way(bare):
    lacking = {
        path
        for path, given in listings(bare.api_doc)
        if not {"limit", "cursor", "sort"} <= given.keys()
    }

    assert lacking == set()


@pytest.mark.services
@pytest.mark.parametrize("path", LISTS)
def test_every_list_comes_page_by_page_in_every_order(many, app, path):
    whole = many.get(path, query_string={"limit": 500}).json["items"]

    for sort in sorts(app, path):
        ids, pages = walked(many, path, sort=sort, limit=3)
        back, _ = walked(many, path, sort=sort[1:] if sort[0] == "-" else f"-{sort}", limit=500)
        assert sorted(map(str, ids)) == sorted(str(row["id"]) for row in whole)
        assert ids == back[::-1]
        assert pages == max(1, -(-len(whole) // 3))


@pytest.mark.services
def test_what_is_added_or_taken_away_between_two_pages_moves_nothing(many, app, site):
    first = many.get("/v1/machines?limit=4").json
    for number, name in enumerate(("aaa", "fleet-000004a", "zzz")):
        nic = make.interface(macAddress=f"52:54:00:00:00:0{number}")
        many.made("/v1/machines", make.machine(site["id"], hostname=name, interfaces=[nic]))

    rest = many.get(f"/v1/machines?cursor={first['next']}").json["items"]

    names = [row["hostname"] for row in first["items"] + rest]
    assert names[:4] == [f"fleet-00000{n}" for n in (1, 2, 3, 4)]
    assert names[4:6] == ["fleet-000004a", "fleet-000005"]
    assert len(names) == len(set(names)) == 12


def coded(*values):
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


NIL = "00000000-0000-0000-0000-000000000000"
BAD = (
    "x",
    "e30",
    "A" * 2048,
    coded("sites", "hostname", "a", NIL),
    coded("machines", "-hostname", "a", NIL),
    coded("machines", "hostname", "a"),
    coded("machines", "hostname", "a", NIL, NIL),
    coded("machines", "hostname", "a", "no id"),
    coded("machines", "hostname", "a\0", NIL),
    coded("machines", "hostname", 7, NIL),
    coded("machines", "hostname", None, NIL),
    coded("machines", "hostname", "\ud800", NIL),
    base64.urlsafe_b64encode(b"[" * 1500).decode().rstrip("="),
)


@pytest.mark.services
@pytest.mark.parametrize("cursor", BAD, ids=range(len(BAD)))
def test_a_cursor_that_is_not_this_lists_is_refused(many, cursor):
    answer = many.get("/v1/machines", query_string={"cursor": cursor})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/cursor"


@pytest.mark.services
@pytest.mark.parametrize("value", ["now", "2025-06-01T12:00:00", 7, None])
def test_a_cursor_with_a_moment_that_is_none_is_refused(many, value):
    cursor = coded("machines", "createdAt", value, NIL)

    answer = many.get("/v1/machines", query_string={"cursor": cursor, "sort": "createdAt"})

    assert answer.status_code == 422


@pytest.mark.services
@pytest.mark.parametrize("value", ["7", 1.5, True, 2**63])
def test_a_cursor_with_a_number_that_is_none_is_refused(many, value):
    assert many.get(f"/v1/audit?cursor={coded('audit', '-id', value)}").status_code == 422


@pytest.mark.services
@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/v1/machines?label=role=worker", 5),
        ("/v1/machines?label=role=", 0),
        ("/v1/machines?architecture=arm64", 0),
        ("/v1/machines?sort=-hostname&search=FLEET-00000", 9),
        ("/v1/sites?search=AMS", 1),
        ("/v1/sites?search=ber", 0),
        ("/v1/sites/ams-1/agents?live=true", 10),
        ("/v1/sites/ams-1/agents?live=false", 0),
        ("/v1/networks?purpose=bmc", 0),
        ("/v1/images?artifactRef=fleet-000002&architecture=x86_64", 1),
        ("/v1/profiles?search=000002", 1),
        ("/v1/artifacts?search=fleet-000002", 1),
        ("/v1/workflows?state=succeeded&kind=power-on&siteId=ams-1", 10),
        ("/v1/workflows?state=running", 0),
        ("/v1/ip-allocations?state=active&machineId=fleet-000003", 1),
        ("/v1/ip-allocations?state=released", 0),
        ("/v1/audit?actor=test&action=machine.create&outcome=done", 10),
        ("/v1/audit?outcome=refused", 0),
        ("/v1/dead-letters?queue=sprout.reports.1&replayed=false", 10),
        ("/v1/machines/fleet-000001/timeline?kind=asked", 1),
        ("/v1/machines/fleet-000001/timeline?kind=other", 0),
    ],
)
def test_a_list_is_narrowed(many, path, count):
    assert len(many.get(path).json["items"]) == count


def test_a_sort_that_is_none_of_the_lists_is_refused(bare):
    answer = Api(bare).get("/v1/machines?sort=memory")

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/sort")


def details(api):
    """Return the path of one of each kind."""
    first = {path: api.get(f"{path}?limit=1").json["items"][0]["id"] for path in LISTS[4:7]}
    kinds = (
        "sites",
        "networks",
        "artifacts",
        "workflows",
        "discoveries",
        "dead-letters",
        "sync-jobs",
        "integration-jobs",
    )
    for kind in (*kinds, "sync-jobs", "integration-jobs"):
        first[f"/v1/{kind}"] = api.get(f"/v1/{kind}?limit=1").json["items"][0]["id"]
    return [
        *(f"{path}/{identifier}" for path, identifier in first.items()),
        "/v1/sites/ams-1/health",
        "/v1/machines/fleet-000001/why",
        f"/v1/workflows/{first['/v1/workflows']}/events",
    ]


@pytest.mark.services
def test_the_statements_of_a_request_are_as_many_for_10_as_for_1000_machines(
    api, site, database_url, monkeypatch
):
    counted, execute = [], pool.database.execute_sql
    monkeypatch.setattr(
        pool.database, "execute_sql", lambda *a, **k: (counted.append(a), execute(*a, **k))[1]
    )

    def statements(path):
        counted.clear()
        assert api.get(path).status_code == 200, path
        return len(counted)

    fleet.enter(database_url, site["id"], 10)
    asked = [*(f"{path}?limit=500" for path in LISTS), FOREIGN, *details(api)]
    few = {path: statements(path) for path in asked}
    fleet.clear(database_url)
    fleet.enter(database_url, site["id"], 1000)
    asked = [*(f"{path}?limit=500" for path in LISTS), FOREIGN, *details(api)]

    assert [statements(path) for path in asked] == list(few.values())
    assert max(few.values()) <= 10
