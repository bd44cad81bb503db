"""Known secrets, put wherever one can be put, come out nowhere: not even where something fails."""

import base64
import json
from pathlib import Path

import pytest
import requests

from tests.flows import canaries
from tests.flows.canaries import Finds, Tap, canary
from tests.flows.stage import Running
from tests.flows.webhooks import webhook
from tests.services import vault

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

PLACES = (
    "admin-password", "oidc-client", "bmc-wrong", "bmc-vault", "bmc-vault-wrong", "webhook",
    "vault-token", "bearer", "basic", "cookie", "typed-password", "code", "literal", "userinfo",
    "unknown-field", "malformed", "query", "endpoint", "media", "header", "provider", "no-secret",
)  # fmt: skip

AT_HOME = {
    ("signing-key", "public.keys"),
    ("signing-key", "public.sites"),
    ("profile-password", "public.profiles"),
    ("profile-password", "public.plans"),
    ("profile-password", "public.outbox"),
    ("profile-password", "queue.messages"),
    ("profile-password", "tap: public.outbox"),
    ("profile-password", "tap: queue.messages"),
    ("profile-password", "answer: /v1/profiles"),
}
"""Where a secret belongs: nobody can do without it there."""


KINDS = {"log", "answer", "page", "argv", "tap"}
"""Where is looked, besides the tables of a full dump."""


WHY = {
    "wrong": "returned code 401",
    "vault-wrong": "returned code 401",
    "vault-nothing": "vault:kv/none#password",
    "nowhere": "SPROUT_SECRET_NOWHERE is not set",
}
"""What is said of each failure: which reference, and never what it leads to."""


@pytest.fixture(scope="module")
def planted():
    return {name: canary(name) for name in PLACES}


@pytest.fixture(scope="module")
def running(tmp_path_factory, planted):
    """The product with a machine active, which is played, and with secrets in its settings."""
    data = tmp_path_factory.mktemp("canary") / "data"
    data.mkdir(mode=0o700)
    with vault.running() as kept:
        kept.tokens = {planted["vault-token"]}
        kept.secrets["bmc"] = {"wrong": planted["bmc-vault-wrong"]}
        env = canaries.environment(planted) | {"SPROUT_VAULT_ADDRESS": kept.url}
        started = Running(data, words=("--simulated", "--speed", "20"), **env)
        try:
            started.until(lambda machine: machine["state"] == "active")
            kept.secrets["bmc"]["right"] = generated(started)["bmc"]
            yield started
        finally:
            started.stop()


def generated(running):
    """Return the secrets that the product made for itself, and those of the rack."""
    made = json.loads((running.data / "secrets.json").read_text())
    enrolment = json.loads((running.data / "enrolment-loopback.json").read_text())
    rack = json.loads((running.data / "rack-simulated" / "rack.json").read_text())
    password = Path(rack["machines"][0]["bmc"]["password_file"]).read_text().strip()
    return {**made, "signing-key": enrolment["signing_key"], "bmc": password}


def registered(running, name, secret_ref, **bmc):
    """Return the status of registering a machine whose BMC's password is kept at *secret_ref*."""
    known = running.machine()
    number = sum(map(ord, name)) % 250
    body = {
        "siteId": known["siteId"],
        "hostname": name,
        "architecture": "x86_64",
        "interfaces": [
            {"name": "e", "macAddress": f"52:54:00:c0:00:{number:02x}", "pxeEnabled": True}
        ],
        "bmc": {
            "address": known["bmc"]["address"],
            # Its cards are another machine's here, so that it is told which system is meant.
            "system": known["bmc"]["system"],
            "username": "admin",
            "secretRef": secret_ref,
            **bmc,
        },
    }
    return running.call("POST", "/v1/machines", body)


def refused_with_a_cure(answer, pointer):
    assert answer.status_code == 422, answer.text
    (fault,) = [each for each in answer.json()["errors"] if each["pointer"] == pointer]
    assert fault["hint"]


def entered_wrongly(running, planted):
    """Put secrets into fields that are for references, or for nothing at all."""
    labels = {"labels": {"note": planted["no-secret"]}}
    assert (
        running.call("PATCH", "/v1/machines/sim-r1", labels | _version(running)).status_code < 300
    )
    literal, userinfo = planted["literal"], f"http://admin:{planted['userinfo']}@10.9.9.9"
    refused_with_a_cure(registered(running, "n-1", literal), "/bmc/secretRef")
    refused_with_a_cure(registered(running, "n-2", "env:X", address=userinfo), "/bmc/address")
    unknown = registered(running, "n-3", "env:X", password=planted["unknown-field"])
    assert unknown.status_code == 422
    job = {
        "name": "export",
        "siteId": running.machine()["siteId"],
        "kind": "metadata-export",
        "provider": "webhook",
        "endpoint": f"https://a:{planted['endpoint']}@hooks.example/x",
        "secretRef": "env:WEBHOOK",
    }
    assert running.call("POST", "/v1/integration-jobs", job).status_code == 422
    job |= {"endpoint": "https://hooks.example/x", "secretRef": planted["literal"]}
    assert running.call("POST", "/v1/integration-jobs", job).status_code == 422
    media = {"mediaUrl": f"https://a:{planted['media']}@x.example/a.iso"}
    assert running.call("POST", "/v1/machines/sim-r1/image", media).status_code == 422


def _version(running):
    return {"version": running.machine()["version"]}


def tried_at_the_door(running, planted):
    """Come with secrets that are of nobody here, in each way that one can come."""
    basic = base64.b64encode(f"admin:{planted['basic']}".encode()).decode()
    for headers in (
        {"Authorization": f"Bearer {planted['bearer']}"},
        {"Authorization": f"Bearer sprout_{planted['bearer']}"},
        {"Authorization": f"Basic {basic}"},
        {"Cookie": f"sprout_session={planted['cookie']}", "X-Token": planted["header"]},
    ):
        for method in ("GET", "POST"):
            requests.request(
                method, f"{running.url}/v1/sites", headers=headers, json={}, timeout=30
            )
    running.call("GET", f"/v1/sites?access_token={planted['query']}")
    requests.get(f"{running.url}/sign-in?code={planted['code']}", timeout=60)
    requests.post(f"{running.url}/sign-in", data={"code": planted["code"]}, timeout=60)
    broken = f'{{"token": "{planted["malformed"]}", '
    token = json.loads((running.data / "secrets.json").read_text())["admin_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    requests.post(f"{running.url}/v1/sites", data=broken, headers=headers, timeout=60)
    requests.get(f"{running.url}/login", timeout=60)
    for word in (planted["typed-password"], planted["admin-password"]):
        browser = requests.Session()
        page = browser.get(f"{running.url}/sign-in", timeout=60).text
        csrf = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        data = {"password": word, "csrf_token": csrf}
        browser.post(f"{running.url}/sign-in", data=data, timeout=60)


def asked(running):
    """Ask for verbs that go well, and for some whose secret is wrong, missing, or cannot be had."""
    for verb, more in (
        ("power-off", {}),
        ("boot-source", {"bootSource": "pxe"}),
        ("power-on", {}),
        ("reboot", {}),
    ):
        assert running.ask("sim-r1", verb, **more)["state"] == "succeeded"
    running.ask("sim-r1", "remote-task", command="uptime")
    ends = {}
    for name, reference in (
        ("wrong", "env:WRONG"),
        ("vault-wrong", "vault:kv/bmc#wrong"),
        ("vault-nothing", "vault:kv/none#password"),
        ("nowhere", "env:NOWHERE"),
        ("vault-right", "vault:kv/bmc#right"),
    ):
        answer = registered(running, name, reference)
        assert answer.status_code == 201, answer.text
        ends[name] = running.ask(answer.json()["id"], "commission")
    assert ends.pop("vault-right")["state"] == "succeeded"
    assert {each["state"] for each in ends.values()} == {"failed"}
    for name, why in WHY.items():
        assert why in ends[name]["detail"]
    return ends


def exported(running):
    """Have a webhook called, which is signed by its secret."""
    with webhook() as hook:
        job = {
            "name": "export",
            "siteId": running.machine()["siteId"],
            "kind": "metadata-export",
            "provider": "webhook",
            "endpoint": hook.url,
            "secretRef": "env:WEBHOOK",
        }
        made = running.call("POST", "/v1/integration-jobs", job)
        assert made.status_code == 201, made.text
        running.call("POST", f"/v1/integration-jobs/{made.json()['id']}/run", {})
        running.until(lambda _: not hook.calls.empty())
        headers, _ = hook.heard()
    assert headers["X-Sprout-Signature"]


def given_out(running):
    """Return the secrets that the API gives out once: under a key, so that it keeps an answer."""
    head = {"Idempotency-Key": "once"}
    token = json.loads((running.data / "secrets.json").read_text())["admin_token"]
    base = {"Authorization": f"Bearer {token}", **head}
    body = {"name": "ci", "role": "viewer", "days": 1}
    made = requests.post(f"{running.url}/v1/api-tokens", json=body, headers=base, timeout=60).json()
    requests.get(
        f"{running.url}/v1/sites", headers={"Authorization": f"Bearer {made['token']}"}, timeout=9
    )
    return {"api-token": made["token"]}


def test_known_secrets_come_out_nowhere(running, planted):
    url = canaries.database_url(running)
    tap = Tap(url)
    tap.open()
    made = generated(running) | given_out(running)
    entered_wrongly(running, planted)
    tried_at_the_door(running, planted)
    exported(running)
    ends = asked(running)
    pages, code = canaries.paged(running, running.machine()["id"], ends["wrong"]["id"])
    finds = Finds({**planted, **made, "sign-in-code": code})

    for place, text in canaries.everything(running, url, tap, pages).items():
        finds.look(place, text)

    assert {place.partition(":")[0] for place in finds.places} >= KINDS
    shown = {place for name, place in finds.found if name == "no-secret"}
    assert shown >= {"public.machines", "answer: /v1/machines", "public.audit"}
    told = {(name, place) for name, place in finds.found if name != "no-secret"}
    assert told - AT_HOME == set()
