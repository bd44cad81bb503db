"""Approvals, decisions, executions and the policy file, as callers of the API meet them."""

import json
import time
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from edge.cli.main import APP
from models import policy_file, remote_commands
from models.commands import policy, policy_source
from models.database import borrowed
from models.errors import NotReady
from tests.edge import make
from tests.edge.conftest import ROOT, Api, serving
from tests.models import make as domain

pytestmark = pytest.mark.services

REBOOT = "/v1/machines/node-01/reboot"


@pytest.fixture
def machine(api, site):
    api.made("/v1/networks", make.network(site["id"]))
    made = api.made("/v1/machines", make.machine(site["id"]))
    with borrowed():
        domain.Agent(UUID(site["id"]))
    return made


@pytest.fixture(autouse=True)
def built_in_policy():
    yield
    policy_source.follow_file(None)


def approve(api, **more):
    body = {"machineId": "node-01", "action": "reboot", "decision": "approved"}
    return api.post("/v1/approvals", body | more)


def test_a_refusal_names_its_decision_and_what_to_do_and_is_audited(api, machine):
    answer = api.post(REBOOT)

    problem = answer.json
    assert (answer.status_code, problem["type"]) == (403, "/problems/approval-needed")
    assert problem["errors"][0]["pointer"] == "/approvalId"
    assert "sprout approvals create --machine-id node-01" in problem["errors"][0]["hint"]
    kept = api.get(f"/v1/policy-decisions/{problem['policyDecisionId']}").json
    assert (kept["allowed"], kept["rule"]) == (False, "actions/reboot/approval")
    assert api.get("/v1/policy-decisions?machineId=node-01&allowed=false").json["items"] == [kept]
    row = api.audit()[0]
    assert (row["action"], row["outcome"]) == ("machine.reboot", "refused")
    assert row["data"]["code"] == "approval-needed"


def test_an_approval_is_listed_used_and_no_longer_open(api, machine):
    made = approve(api, reason="kernel update").json
    assert api.get("/v1/approvals?open=true").json["items"] == [made]

    answer = api.post(REBOOT, {"approvalId": made["id"], "reason": "kernel update"})

    assert answer.status_code == 202
    used = api.get(f"/v1/approvals/{made['id']}").json
    assert (used["state"], used["workflowId"]) == ("used", answer.json["id"])
    assert api.get("/v1/approvals?open=true").json["items"] == []
    (done,) = api.get("/v1/action-executions?machineId=node-01&action=reboot").json["items"]
    assert (done["workflowId"], done["approvalId"]) == (answer.json["id"], made["id"])
    assert api.get(f"/v1/action-executions/{done['id']}").json == done
    assert api.get(f"/v1/action-executions/{done['id']}/evidence").json["items"] == []
    again = api.post(REBOOT, {"approvalId": made["id"]})
    assert (again.status_code, again.json["type"]) == (403, "/problems/approval-unfit")


BAD = {
    "no such action": ({"action": "explode"}, "/action"),
    "no decision": ({"decision": "maybe"}, "/decision"),
    "parameters that the verb has not": (
        {"action": "remote-task", "parameters": {"comand": "x"}},
        "/parameters/command",
    ),
    "too long": ({"expiresInS": 10**9}, "/expiresInS"),
    "receipts that are none": ({"receipts": {"script": "x"}}, "/receipts/script"),
}


@pytest.mark.parametrize(("change", "pointer"), BAD.values(), ids=BAD)
def test_an_approval_that_cannot_be_is_refused_at_its_field(api, machine, change, pointer):
    answer = approve(api, **change)

    assert answer.status_code == 422
    assert pointer in {each["pointer"] for each in answer.json["errors"]}


def test_the_catalogue_says_what_each_action_takes_now(api, machine):
    found = {each["name"]: each for each in api.get("/v1/day2-actions").json["items"]}

    assert found["reboot"]["approval"] == {
        "role": "admin",
        "fourEyes": False,
        "expiresS": 3600,
        "boundTo": "machine",
    }
    assert not found["power-on"]["requiresApproval"]
    assert found["remote-task"]["parameters"]["required"] == ["command"]
    allowed = found["remote-task"]["parameters"]["properties"]["command"]["examples"]
    assert allowed == list(remote_commands.READ_ONLY)
    assert found["reprovision"]["states"] == ["active"]

    rules = policy_file.parse({"version": "1", "actions": {"power-on": {"approval": {}}}})
    policy.follow(lambda: rules)
    found = {each["name"]: each for each in api.get("/v1/day2-actions?siteId=ams-1").json["items"]}
    assert found["power-on"]["requiresApproval"]


WORDED = {
    "image": [
        ({"mediaUrl": "https://x.example/a.iso"}, True),
        ({"eject": True}, True),
        ({}, False),
    ],
    "boot-source": [({"bootSource": "pxe"}, True), ({"bootSource": "tape"}, False), ({}, False)],
    "provision": [({"imageRef": "a", "profileRef": "b"}, True), ({"imageRef": "a"}, False)],
    "remote-task": [({"command": "uptime"}, True), ({"command": "a\nb"}, False), ({}, False)],
    "release": [({"wipe": "none"}, True), ({"wipe": "all"}, False), ({"wip": "none"}, False)],
    "power-on": [({}, True), ({"force": True}, False)],
}


@pytest.mark.parametrize("name", WORDED)
def test_the_catalogues_schema_takes_what_the_verb_takes_and_nothing_else(api, name):
    found = {each["name"]: each for each in api.get("/v1/day2-actions").json["items"]}
    schema = found[name]["parameters"]

    Draft202012Validator.check_schema(schema)
    for parameters, good in WORDED[name]:
        assert Draft202012Validator(schema).is_valid(parameters) is good, parameters


def test_too_few_machines_are_a_conflict_that_says_how_many_there_are(api, site, machine):
    answer = api.post("/v1/machines/allocate", {"siteId": site["id"], "count": 2})

    assert (answer.status_code, answer.json["type"]) == (409, "/problems/exhausted")
    assert "1 of 2" in answer.json["detail"]
    one = api.post("/v1/machines/allocate", {"siteId": site["id"], "count": 1}).json["items"]
    assert [(each["hostname"], each["state"]) for each in one] == [("node-01", "allocated")]


def test_a_machine_is_changed_under_its_version_and_deleted(api, machine):
    path = f"/v1/machines/{machine['id']}"

    changed = api.patch(path, {"labels": {"rack": "7"}}, headers={"If-Match": '"1"'})
    late = api.patch(path, {"labels": {}}, headers={"If-Match": '"1"'})
    wrong = api.patch(path, {"hostname": "x"})

    assert (changed.status_code, changed.json["labels"]) == (200, {"rack": "7"})
    assert changed.headers["ETag"] == '"2"'
    assert late.status_code == 412
    assert wrong.json["errors"][0]["pointer"] == "/hostname"
    assert api.delete(path).status_code == 200
    assert api.get(path).status_code == 404


# --- the file ---


def test_a_file_that_is_bad_holds_nothing_up_and_is_told(app, api, machine, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\n")
    policy_source.follow_file(file)
    assert api.post(REBOOT).status_code == 202

    file.write_text("version: 1\nactions: {explode: {}}\n")
    policy_source._followed[0]._looked_at = float("-inf")

    assert policy_source.standing().trouble.endswith("allocate")
    told = api.get("/readyz").json["checks"]["policy"]
    assert (told["ok"], "no such action" in told["detail"]) == (False, True)
    page = api.get("/", headers={"Accept": "text/html"}).get_data(as_text=True)
    assert "The policy file is not in force" in page
    assert api.post("/v1/machines/node-01/power-on").status_code == 202


def test_without_any_good_file_verbs_wait_for_one(api, machine, tmp_path):
    policy_source.follow_file(tmp_path / "none.yaml")

    answer = api.post("/v1/machines/node-01/power-on")

    assert (answer.status_code, answer.json["type"]) == (409, "/problems/not-ready")
    with pytest.raises(NotReady):
        policy.in_force()


def test_a_running_edge_reads_its_file_anew(settings, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\n")

    with serving(settings | {"SPROUT_POLICY_FILE": str(file)}, tmp_path) as edge:
        first = edge.get("/readyz").json()["checks"]["policy"]["sha256"]
        file.write_text("version: 1\nat-once: 5\n")
        until = time.monotonic() + 10
        while edge.get("/readyz").json()["checks"]["policy"]["sha256"] == first:
            assert time.monotonic() < until

    assert "policy.read" in edge.log.read_text()


def test_an_edge_does_not_start_with_a_bad_file(settings, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("version: 7\n")

    with pytest.raises(Exception, match="/version"):  # noqa: SIM117 - of the launcher
        with serving(settings | {"SPROUT_POLICY_FILE": str(file)}, tmp_path):
            pass


def test_a_request_is_judged_by_a_file_without_an_edge(tmp_path):
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"action": "reboot", "approval": {"by": "ada"}}))
    run = CliRunner().invoke
    words = ["policy", "test", str(request), "--json"]

    own = run(APP, words)
    eyes = run(APP, [*words, "--file", str(ROOT / "deploy" / "policy.production.yaml")])

    assert (own.exit_code, json.loads(own.stdout)["allowed"]) == (0, True)
    assert eyes.exit_code == 3
    assert json.loads(eyes.stdout)["rule"] == "actions/reboot/approval"


def test_a_token_that_somebody_made_is_no_second_pair_of_eyes(app, api, machine):
    wanted = {"reboot": {"approval": {"four-eyes": "true"}}}
    rules = policy_file.parse({"version": "1", "actions": wanted})
    policy.follow(lambda: rules)
    made = api.made("/v1/api-tokens", {"name": "mine", "role": "admin", "days": 1})
    mine = Api(app, token=made["token"])
    yes = {"machineId": machine["id"], "action": "reboot", "decision": "approved"}
    approval = mine.made("/v1/approvals", yes)

    answer = api.post("/v1/machines/node-01/reboot", {"approvalId": approval["id"]})

    assert (answer.status_code, answer.json["type"]) == (403, "/problems/approval-unfit")
