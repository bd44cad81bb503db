"""Every route, asked by every role at its own site and at a foreign one, beside the table."""

import itertools
import json
import re
from datetime import timedelta
from http import HTTPStatus

import pytest

from edge import access, auth
from edge.app import create_app
from models import day2_queries, queries
from models.commands import approvals, asks, dead_letters, discoveries, inventory, jobs, tokens
from models.job_views import Mode
from models.roles import LEAST, ORDER, Reach, Role
from models.tables import Preparation
from tests.edge import make
from tests.edge.conftest import Api, config
from tests.models import make as domain
from tests.models.test_discoveries import Teller, sighting

OWN, FOREIGN = "own-1", "far-1"
NO_STREAM = "/problems/no-stream"
TWIN = "52:54:00:00:77:01"
UNKNOWN = "7d0c1a52-c1e8-4f0f-8a4c-0f5b6a1d2e3f"
DAY_TWO = ("policy-decisions", "action-executions")
POLICY = {f"/problems/{each}" for each in ("policy-denied", "approval-needed", "approval-unfit")}
CALLERS = tuple(itertools.product(Role, (OWN, "all")))


class Place:
    """A site with one of each thing that is at a site, by the name of its part of a URL."""

    def __init__(self, slug, number):
        site = domain.site(slug)
        hostname, mac = f"{slug}-node", f"52:54:00:00:{number:02x}:01"
        network = domain.network(site, cidr=f"10.{number}.0.0/24", **ranges(number))
        agent = domain.Agent(site)
        machine = domain.machine(site, hostname, [domain.interface(mac)])
        rebuilt = domain.interface(f"52:54:00:00:{number:02x}:02")
        host = domain.machine(site, f"{slug}-host", [rebuilt], server_type="ms-01")
        flow = asks.commission(domain.ADA, machine)
        Teller(agent).tell(sighting(f"52:54:00:99:{number:02x}:01"))
        (found,) = discoveries.listed(site_id=site)
        approval = approvals.create_approval(
            domain.ADMIN,
            approvals.NewApproval(machine_id=machine, action="release", decision="approved"),
        )
        token, _ = tokens.create(
            domain.ADA, name=slug, role=Role.VIEWER, sites=[site], life=timedelta(days=1)
        )
        things = {
            "site": site,
            "machine": machine,
            "host": host,
            "network": network,
            "workflow": flow,
            "discovery": found.id,
            "token": token,
            "approval": approval,
            "decision": day2_queries.policy_decisions(wanted={"site_id": site})[0].id,
            "execution": day2_queries.executions(wanted={"site_id": site})[0].id,
            **asked_of(site, artifact(f"files-{number}")),
        }
        self.things = {name: str(thing) for name, thing in things.items()}
        told = {slug, hostname, mac, f"{slug}-host", rebuilt.mac}
        self.tells = {*self.things.values(), *told} - {str(token)}


def artifact(ref):
    fields = {"name": "files", "backend": "filesystem", "base_url": "", "prefix": "files"}
    inventory.create_artifact(domain.ADA, ref=ref, **fields)
    return ref


def asked_of(site, files):
    """Return a sync job, an integration job and its run of the site."""
    about = {"kind": "metadata-export", "provider": "webhook", "endpoint": "http://x"}
    integration = jobs.create_integration(
        domain.ADA, site_id=site, name="export", secret_ref=None, **about
    )
    return {
        "sync_job": jobs.create_sync(
            domain.ADA, site_id=site, artifact_ref=files, mode=Mode.VERIFY, reason=""
        ),
        "integration_job": integration,
        "run": jobs.run_integration(domain.ADA, integration, reason=""),
    }


def ranges(number):
    return {"range_start": f"10.{number}.0.10", "range_end": f"10.{number}.0.99"}


@pytest.fixture
def places(db):
    return {OWN: Place(OWN, 1), FOREIGN: Place(FOREIGN, 2)}


@pytest.fixture
def shared(places):
    """What belongs to no site, by the name of its part of a URL."""
    dead_letters.keep(
        message_id="m", queue="q", reason="rejected", detail="", died_at=None, body=b"{}"
    )
    domain.image(), domain.profile()
    artifact("debian")
    return {
        "artifact": "a-debian-12",
        "image": "debian-12",
        "profile": "plain",
        "letter": str(dead_letters.listed()[0].id),
        "preparation": str(prepared()),
        "name": "automation-command",
        "sha256": "0" * 64,
    }


def prepared():
    """Return a preparation that has ended."""
    about = {"ref": "old", "name": "old", "iso_path": "old.iso", "requested_by": "ada"}
    return Preparation.create(state="failed", **about).id


@pytest.fixture
def callers(places):
    """A token for each role at the own site, and for all sites."""
    own = queries.site(OWN).id
    return {
        (role, where): tokens.create(
            domain.ADA,
            name=f"{role} {where}",
            role=role,
            sites=None if where == "all" else [own],
            life=timedelta(days=1),
        )[1]
        for role, where in CALLERS
    }


@pytest.fixture
def scene(places, shared):
    return places, shared


def routes(app):
    """Yield (method, rule, action) of each route that asks who comes."""
    # What deletes comes last: the others are asked of what is there.
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: "DELETE" in (rule.methods or ())):
        if rule.endpoint in auth.OPEN | {auth.METRICS, "sign_in.leave"}:
            continue
        action = app.view_functions[rule.endpoint].audit_action
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, rule.rule, action


def bodies(app):
    """Return the example of each body in the contract, by method and rule."""
    found = {}
    for path, methods in app.api_doc["paths"].items():
        rule = re.sub(r"\{(\w+)\}", r"<\1>", path)
        for method, told in methods.items():
            content = told.get("requestBody", {}).get("content", {})
            found[method.upper(), rule] = content.get("application/json", {}).get("example")
    return found


def aimed(body, place):
    """Return *body* about what is at *place*."""
    if body is None:
        return None, False
    about = {"siteId": "site", "machineId": "machine"}
    changed = {name: place.things[about[name]] for name in body.keys() & about.keys()}
    if "sites" in body:
        changed["sites"] = [place.things["site"]]
    # What else a body asks for has a row of its own, and a test beside its resource.
    plain = {name: value for name, value in body.items() if name != "secretRef"}
    return plain | changed, bool(changed)


def wanted(action, role, where, target):
    """Return what the table says: "through", "forbidden" or "hidden"."""
    least = LEAST[action]
    if ORDER.index(role) < ORDER.index(least.role):
        return "forbidden"
    if least.reach is Reach.ALL and where != "all":
        return "forbidden"
    foreign = target == FOREIGN and least.reach is Reach.SITE
    return "hidden" if foreign and where != "all" else "through"


def told(answer, *, by_body):
    """Return how *answer* reads beside the table."""
    problem = answer.get_json()["type"] if answer.mimetype == "application/problem+json" else ""
    judged = problem in POLICY or "makes no tokens" in answer.text
    if answer.status_code == HTTPStatus.FORBIDDEN and not judged:
        return "forbidden"
    hidden = "/problems/unknown-reference" if by_body else "/problems/not-found"
    return "hidden" if problem == hidden and "no blob" not in answer.text else "through"


@pytest.mark.services
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("role", "where"), CALLERS)
def test_every_route_answers_each_role_as_the_table_says(app, scene, callers, role, where):
    places, shared = scene
    client, examples, found, expected = app.test_client(), bodies(app), {}, {}
    headers = {"Authorization": f"Bearer {callers[role, where]}"}
    for (method, rule, action), target in itertools.product(routes(app), (FOREIGN, OWN)):
        parts = set(re.findall(r"<(?:\w+:)?(\w+)>", rule))
        things = shared | places[target].things
        assert parts <= things.keys(), f"{rule}: say in this test what stands for its parts"
        body, by_body = aimed(examples.get((method, rule)), places[target])
        if target == FOREIGN and not by_body and not parts - shared.keys():
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda part, of=things: of[part[1]], rule)
        with client.open(path, method=method, headers=headers, json=body) as answer:
            # Here is no connection that could be passed on to the events process.
            assert answer.status_code < 500 or NO_STREAM in answer.text, (method, rule)
            found[method, rule, target] = told(answer, by_body=by_body)
        expected[method, rule, target] = wanted(action, role, where, target)

    assert {k: v for k, v in found.items() if v != expected[k]} == {}
    assert len(found) > 80


STREAMS = {"/events", "/events/hints"}


@pytest.mark.services
def test_whoever_is_bound_to_a_site_is_told_of_no_other(app, places, shared, callers):
    caller = Api(app, callers[Role.ADMIN, OWN])
    lists = {rule for method, rule, _ in routes(app) if method == "GET" and "<" not in rule}

    told = {rule: caller.get(rule).get_data(as_text=True) for rule in lists - STREAMS}

    leaks = {(rule, w) for rule, text in told.items() for w in places[FOREIGN].tells if w in text}
    assert leaks == set()
    of_its_own = {rule for rule, text in told.items() if places[OWN].things["site"] in text}
    assert {"/v1/sites", "/v1/machines", "/v1/networks", "/v1/workflows"} <= of_its_own
    assert {"/v1/audit", "/v1/api-tokens", "/v1/discoveries"} <= of_its_own
    assert all("own-1-node" in told[rule] for rule in ("/", "/v1/events"))


@pytest.mark.services
def test_a_filter_reaches_no_foreign_site(app, places, callers):
    caller = Api(app, callers[Role.ADMIN, OWN])
    foreign = places[FOREIGN].things

    for path in ("machines", "networks", "discoveries", "events", "sync-jobs", "integration-jobs"):
        assert caller.get(f"/v1/{path}?siteId={foreign['site']}").status_code == 404
        assert caller.get(f"/v1/{path}?siteId={FOREIGN}").status_code == 404
        assert caller.get(f"/v1/{path}?siteId={OWN}").status_code == 200
    for path in ("workflows", "ip-allocations", "audit", "events", "approvals", *DAY_TWO):
        assert caller.get(f"/v1/{path}?machineId={foreign['machine']}").status_code == 404
        assert caller.get(f"/v1/{path}?machineId=own-1-node").status_code == 200


@pytest.mark.services
@pytest.mark.parametrize(
    "kind", ["site", "machine", "network", "workflow", "discovery", "approval"]
)
def test_what_is_foreign_is_not_told_from_what_is_nowhere(app, places, callers, kind):
    caller = Api(app, callers[Role.ADMIN, OWN])
    foreign, path = places[FOREIGN].things[kind], plural(kind)

    there = caller.get(f"/v1/{path}/{foreign}").json
    nowhere = caller.get(f"/v1/{path}/{UNKNOWN}").json

    assert {**there, "requestId": ""} == json.loads(
        json.dumps({**nowhere, "requestId": ""}).replace(UNKNOWN, foreign)
    )


def plural(kind):
    return kind.removesuffix("y") + "ies" if kind.endswith("y") else f"{kind}s"


@pytest.mark.services
def test_a_name_is_looked_for_among_what_the_caller_sees(app, api, places, callers):
    own = places[OWN].things
    body = make.machine(places[FOREIGN].things["site"], hostname="own-1-node")
    api.made("/v1/machines", body | {"interfaces": [make.interface(macAddress=TWIN)]})

    found = Api(app, callers[Role.OPERATOR, OWN]).get("/v1/machines/own-1-node")

    assert (found.status_code, found.json["id"]) == (200, own["machine"])


@pytest.mark.services
def test_a_name_like_the_id_of_another_machine_leads_nowhere_else(app, api, places, callers):
    own = places[OWN].things
    body = make.machine(places[FOREIGN].things["site"], hostname=own["machine"])
    api.made("/v1/machines", body | {"interfaces": [make.interface(macAddress=TWIN)]})

    for caller in (api, Api(app, callers[Role.OPERATOR, OWN])):
        assert caller.get(f"/v1/machines/{own['machine']}").json["hostname"] == "own-1-node"


@pytest.mark.services
def test_what_is_denied_is_written_down_with_who_and_where(app, api, places, callers):
    viewer = Api(app, callers[Role.VIEWER, OWN])

    viewer.post(f"/v1/machines/{places[OWN].things['machine']}/power-on")
    viewer.get("/v1/dead-letters")

    read, row = api.audit()[:2]
    assert (row["action"], row["outcome"]) == ("machine.power-on", "refused")
    assert (row["actor"], row["data"]["code"]) == (f"token:viewer {OWN}", "denied")
    assert row["data"]["subject"].startswith("token:")
    assert (read["action"], read["outcome"]) == ("dead-letter.read", "refused")


# --- what cannot be declared ---


def test_an_action_without_a_row_cannot_be_declared():
    with pytest.raises(LookupError, match="no row"):
        access.does("machine.explode")


def test_a_part_of_a_url_that_nobody_can_place_cannot_be_declared():
    with pytest.raises(LookupError, match="PLACES"):
        access.check("machine.read", ["rack"])


def test_no_application_is_made_with_a_view_that_judges_nobody(monkeypatch):
    monkeypatch.delattr("edge.pages.machine.show.judges_its_caller", raising=True)

    with pytest.raises(LookupError, match=r"machine\.show"):
        create_app(config())


def test_every_action_of_a_route_names_what_it_does(bare):
    for _, _, action in routes(bare):
        assert re.fullmatch(r"[a-z0-9-]+\.[a-z-]+", action)
