"""The contract with providers: its file, what we send by it, and the check that anyone can run."""

import json
import os
import re
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from actors.control import provisions
from actors.providers import conformance
from actors.providers.conformance import Trial
from config.capabilities import CAPABILITIES, External
from config.secrets import Secret
from tests.services.provider import TOKEN, answer, hang_up

FILE = Path(__file__).parents[2] / "deploy" / "providers" / "openapi.yaml"
CONTRACT = yaml.safe_load(FILE.read_text(encoding="utf8"))
NET = IPv4Network("10.77.0.0/24")

PUBLISHED = {
    "/health": {"get"},
    "/allocations": {"post"},
    "/allocations/{id}": {"get", "delete"},
    "/networks": {"get", "post"},
    "/reservations/{mac}": {"put", "delete"},
    "/leases": {"get"},
    "/records/{fqdn}": {"put", "delete"},
    "/runs": {"post"},
    "/runs/{id}": {"get"},
    "/allocate": {"post"},
    "/release": {"post"},
}


def trial(url, token="env:T"):  # noqa: S107 - a reference
    external = External(capability="dns", kind="contract", url=url, token=token)
    asked = provisions.contract_peer(external, {"env": lambda _: Secret(TOKEN)})
    return Trial(asked, NET, "prov.example")


def found(peer, capability, **more):
    return list(conformance.tried(trial(peer.url, **more), capability))


def test_the_file_is_openapi_of_the_paths_that_the_specification_names():
    validate(CONTRACT)

    methods = {"get", "put", "post", "delete"}
    assert {p: set(ops) & methods for p, ops in CONTRACT["paths"].items()} == PUBLISHED


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_provider_that_keeps_to_it_passes(peer, capability):
    findings = found(peer, capability)

    assert [finding for finding in findings if finding.fault] == []
    assert len(findings) >= 4


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_what_is_sent_and_answered_fits_the_file(peer, capability):
    found(peer, capability)

    assert peer.seen
    for each in peer.seen:
        operation, responses = described(each)
        if each.body is not None:
            fits(each.body, operation["requestBody"]["content"]["application/json"]["schema"])
        if 200 <= each.status < 300 and each.answer is not None:
            said = responses[str(each.status)]
            fits(each.answer, said["content"]["application/json"]["schema"])


def described(exchange):
    """Return the operation of the file that *exchange* is one of, and what it may answer."""
    for path, operations in CONTRACT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), exchange.path):
            operation = operations[exchange.method.lower()]
            answers = {s: resolved(each) for s, each in operation["responses"].items()}
            return operation, answers
    raise AssertionError(exchange.path)


def resolved(response):
    named = response.get("$ref", "").rpartition("/")[2]
    return CONTRACT["components"]["responses"][named] if named else response


def fits(value, schema):
    Draft202012Validator({**schema, "components": CONTRACT["components"]}).validate(value)


TWICE = answer(201, json.dumps({"id": "a", "address": "10.77.0.9"}).encode())
FAULTS = {
    "ill": ([answer(503)], "answers 503"),
    "not ok": ([answer(200, b'{"status": "degraded"}')], "does not say that its status is ok"),
    "open to strangers": ([answer(200, b'{"status": "ok"}')] * 2 + [answer(204)], "answered 204"),
    "outside": (
        [
            answer(200, b'{"status": "ok"}'),
            answer(401),
            answer(201, b'{"id": "a", "address": "192.0.2.1"}'),
        ],
        "gave 192.0.2.1",
    ),
    "one for two": (
        [answer(200, b'{"status": "ok"}'), answer(401), TWICE, TWICE, TWICE],
        "gave one address twice",
    ),
    "nonsense": (
        [
            answer(200, b'{"status": "ok"}'),
            answer(401),
            answer(201, b'{"id": "a", "address": "the first"}'),
        ],
        "makes no sense",
    ),
    "gone": ([hang_up], "cannot be asked"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_provider_that_does_otherwise_is_told_what_it_did(peer, name):
    faults, words = FAULTS[name]
    peer.faults += faults

    last = found(peer, "ipam")[-1]

    assert words in last.fault


def test_the_check_is_a_command_of_sprout_and_shows_no_token(peer):
    words = ["providers", "check", "--cap", "dns", "--url", peer.url, "--token-ref", "env:T"]
    code = "import sys; from edge.cli.main import run; sys.exit(run())"

    ran = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"SPROUT_SECRET_T": TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "ok      PUT /records/{fqdn} holds a name" in ran.stdout
    assert TOKEN not in ran.stdout


def test_a_provider_that_is_not_there_fails_the_command():
    words = ["--cap", "dns", "--url", "http://127.0.0.1:9", "--json"]

    ran = subprocess.run(
        [sys.executable, "-m", "actors.providers", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 1
    assert "cannot be asked" in json.loads(ran.stdout)[-1]["fault"]
