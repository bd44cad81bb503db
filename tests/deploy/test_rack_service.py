"""The BMC's answers, without a socket: the machine behind it is real and stays off."""

import base64
import json

import pytest

from deploy.rack.emulator import Place
from deploy.rack.machine import Machine
from deploy.rack.redfish import sessions, shapes
from deploy.rack.redfish.exchange import Request
from deploy.rack.redfish.service import Credentials, Service
from deploy.rack.redfish.sessions import Sessions
from tests.deploy.test_rack_rules import unit

SYSTEM = shapes.system_path(unit())
RESET = shapes.reset_path(unit())
BASIC = {"authorization": "Basic " + base64.b64encode(b"admin:secret").decode()}
BOOT_ONCE = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}


@pytest.fixture
def service(tmp_path):
    machine = Machine(unit(), Place(tmp_path / "r1", namespace="none", tap="r1"))
    yield Service(machine, Credentials("admin", "secret"))
    machine.close()


def ask(service, method, path, body=None, headers=BASIC):
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return service.answer(Request(method, path, headers, data))


def error_of(response):
    [info] = json.loads(response.body)["error"]["@Message.ExtendedInfo"]
    return info["MessageId"].rpartition(".")[2]


def log_in(service):
    body = {"UserName": "admin", "Password": "secret"}
    return ask(service, "POST", shapes.SESSIONS, body, headers={})


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_service_root_needs_no_login(service, slash):
    assert ask(service, "GET", f"/redfish/v1{slash}", headers={}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic " + base64.b64encode(b"admin:wrong").decode()},
        {"authorization": "Basic not-base64!"},
        {"authorization": "Bearer secret"},
        {"x-auth-token": "guessed"},
        {"x-auth-token": "guessed", **BASIC},
    ],
)
@pytest.mark.parametrize("path", [SYSTEM, "/redfish/v1/nothing-here"])
def test_everything_else_needs_one(service, path, headers):
    response = ask(service, "GET", path, headers=headers)

    assert response.status == 401
    assert error_of(response) == "NoValidSession"
    assert response.headers["WWW-Authenticate"].startswith("Basic")


def test_a_session_opens_the_rest_until_logout(service):
    created = log_in(service)
    token = {"x-auth-token": created.headers["X-Auth-Token"]}

    assert created.status == 201
    assert ask(service, "GET", SYSTEM, headers=token).status == 200
    assert ask(service, "DELETE", created.headers["Location"], headers=token).status == 204
    assert ask(service, "GET", SYSTEM, headers=token).status == 401


def test_a_wrong_password_opens_no_session(service):
    body = {"UserName": "admin", "Password": "guessed"}

    assert ask(service, "POST", shapes.SESSIONS, body, headers={}).status == 401


def test_a_bmc_has_only_so_many_sessions(service):
    statuses = [log_in(service).status for _ in range(sessions.MOST + 1)]

    assert statuses == [201] * sessions.MOST + [503]


def test_a_session_ends_when_it_is_not_used():
    now = [0.0]
    opened = Sessions(clock=lambda: now[0])
    token = opened.open("admin").token
    now[0] = 500.0
    assert opened.user_of(token) == "admin"

    now[0] = 1099.0
    assert opened.user_of(token) == "admin"
    now[0] = 1700.0
    assert opened.user_of(token) is None


def test_the_time_a_session_lasts_can_be_set_within_bounds(service):
    path = shapes.SESSION_SERVICE

    assert ask(service, "PATCH", path, {"SessionTimeout": 60}).status == 204
    assert json.loads(ask(service, "GET", path).body)["SessionTimeout"] == 60
    assert error_of(ask(service, "PATCH", path, {"SessionTimeout": 5})) == "PropertyValueOutOfRange"


@pytest.mark.parametrize(
    ("path", "error"),
    [("/redfish/v1/Systems/1", "ResourceMissingAtURI"), ("/", "ResourceMissingAtURI")],
)
def test_what_is_not_there_is_404(service, path, error):
    response = ask(service, "GET", path)

    assert (response.status, error_of(response)) == (404, error)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", SYSTEM, "GET, HEAD, PATCH"),
        ("GET", RESET, "POST"),
        ("PATCH", shapes.CHASSIS, "GET, HEAD"),
        ("BREW", "/redfish/v1", "GET, HEAD"),
    ],
)
def test_a_method_that_a_resource_does_not_have_is_405(service, method, path, allowed):
    response = ask(service, method, path)

    assert (response.status, response.headers["Allow"]) == (405, allowed)


def test_a_query_of_odata_is_refused_and_not_ignored(service):
    response = ask(service, "GET", f"{SYSTEM}?$select=Id")

    assert (response.status, error_of(response)) == (501, "QueryNotSupported")


def test_an_unchanged_resource_is_not_sent_again(service):
    tag = ask(service, "GET", SYSTEM).headers["ETag"]

    response = ask(service, "GET", SYSTEM, headers={**BASIC, "if-none-match": tag})

    assert (response.status, response.body) == (304, b"")


@pytest.mark.parametrize("weak", ["", "W/"])
def test_a_change_needs_the_current_etag_when_it_names_one(service, weak):
    tag = ask(service, "GET", SYSTEM).headers["ETag"]
    headers = {**BASIC, "if-match": weak + tag}

    first = ask(service, "PATCH", SYSTEM, BOOT_ONCE, headers)
    second = ask(service, "PATCH", SYSTEM, BOOT_ONCE, headers)

    assert first.status == 204
    assert (second.status, error_of(second)) == (412, "PreconditionFailed")
    assert first.headers["ETag"] == ask(service, "GET", SYSTEM).headers["ETag"]


def test_a_boot_override_is_shown_as_it_was_set(service):
    ask(service, "PATCH", SYSTEM, BOOT_ONCE)

    shown = json.loads(ask(service, "GET", SYSTEM).body)["Boot"]
    assert shown.items() >= BOOT_ONCE["Boot"].items()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "MalformedJSON"),
        (b"[]", "UnrecognizedRequestBody"),
        (b"[" * 50_000, "MalformedJSON"),
        ({}, "NoOperation"),
        ({"Boot": {}}, "NoOperation"),
        ({"Boot": "Pxe"}, "PropertyValueTypeError"),
        ({"PowerState": "On"}, "PropertyNotWritable"),
        ({"Colour": "green"}, "PropertyUnknown"),
        ({"Boot": {"BootSourceOverrideTarget": "UefiHttp"}}, "PropertyValueNotInList"),
        ({"Boot": {"BootSourceOverrideTarget": 1}}, "PropertyValueTypeError"),
        ({"Boot": {"BootSourceOverrideMode": "UEFI"}}, "PropertyValueNotInList"),
        ({"Boot": {"BootOrder": []}}, "PropertyUnknown"),
    ],
)
def test_a_change_that_cannot_be_is_400_with_the_reason_and_changes_nothing(service, body, error):
    before = ask(service, "GET", SYSTEM).body

    response = ask(service, "PATCH", SYSTEM, body)

    assert (response.status, error_of(response)) == (400, error)
    assert ask(service, "GET", SYSTEM).body == before


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (None, "ActionParameterMissing"),
        ({}, "ActionParameterMissing"),
        ({"ResetType": "Explode"}, "ActionParameterValueNotInList"),
        ({"ResetType": ["On"]}, "ActionParameterValueNotInList"),
        ({"ResetType": "On", "Delay": 1}, "ActionParameterUnknown"),
    ],
)
def test_a_reset_that_cannot_be_is_400_with_the_reason(service, body, error):
    response = ask(service, "POST", RESET, body)

    assert (response.status, error_of(response)) == (400, error)


@pytest.mark.parametrize("reset", ["ForceOff", "GracefulShutdown", "ForceRestart"])
def test_a_machine_that_is_off_refuses_to_be_switched_off(service, reset):
    response = ask(service, "POST", RESET, {"ResetType": reset})

    assert (response.status, error_of(response)) == (409, "ChassisPowerStateOnRequired")
