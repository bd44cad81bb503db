"""The realm of development: what Keycloak puts into a token is what the edge reads."""

import json
import re
from pathlib import Path

import pytest

from config.settings import Settings
from models import roles
from models.roles import Grant, Role

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy/keycloak/realm.json").read_text(encoding="utf8")
REALM = json.loads(TEXT)
CLIENTS = {client["clientId"]: client for client in REALM["clients"]}
SITE = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def defaults():
    return {name: field.default for name, field in Settings.model_fields.items()}


def mapper(client, kind):
    (found,) = [m for m in CLIENTS[client]["protocolMappers"] if m["protocolMapper"] == kind]
    return found["config"]


def emitted(client, groups, kind="access"):
    """Return what Keycloak's mappers add to a token of *client* for a member of *groups*."""
    claims = {}
    member, audience = (
        mapper(client, f"oidc-{m}-mapper") for m in ("group-membership", "audience")
    )
    if member[f"{kind}.token.claim"] == "true":
        full = member["full.path"] == "true"
        claims[member["claim.name"]] = [g if full else g.rpartition("/")[2] for g in groups]
    if audience[f"{kind}.token.claim"] == "true":
        claims["aud"] = [audience["included.client.audience"], "account"]
    return claims


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("kind", ["access", "introspection"])
def test_what_it_emits_is_what_the_edge_reads(client, kind, defaults):
    groups = [f"/{group['name']}" for group in REALM["groups"]]

    claims = emitted(client, groups, kind)

    assert set(roles.of_groups(claims["groups"])) == {
        Grant(role, site) for role in Role for site in (None, SITE)
    }
    assert defaults["oidc_audience"] in claims["aud"]


def test_a_person_who_logs_in_brings_his_groups_in_the_id_token():
    assert emitted("sprout-api", ["/sprout:viewer"], "id") == {"groups": ["sprout:viewer"]}


def test_its_clients_are_those_that_the_settings_name(defaults):
    assert set(CLIENTS) == {defaults["oidc_client_id"], defaults["oidc_cli_client_id"]}


def test_browsers_come_back_to_the_edge_alone_and_with_pkce(defaults):
    api = CLIENTS["sprout-api"]

    assert f"{defaults['api_url']}/authorize" in api["redirectUris"]
    assert all(re.fullmatch(r"http://[a-z0-9.]+:8080/authorize", u) for u in api["redirectUris"])
    assert api["attributes"]["pkce.code.challenge.method"] == "S256"
    assert api["standardFlowEnabled"]
    off = ("publicClient", "implicitFlowEnabled", "directAccessGrantsEnabled")
    assert not any(api[name] for name in off)


def test_the_command_line_logs_in_by_the_device_flow_and_nothing_else():
    cli = CLIENTS["sprout-cli"]

    assert cli["publicClient"]
    assert cli["attributes"]["oauth2.device.authorization.grant.enabled"] == "true"
    flows = ("standardFlow", "implicitFlow", "directAccessGrants", "serviceAccounts")
    assert not any(cli[f"{flow}Enabled"] for flow in flows)


def test_it_has_a_demo_operator_whose_groups_are_there():
    (person,) = REALM["users"]

    assert roles.of_groups(person["groups"]) == (Grant(Role.OPERATOR),)
    assert {path.removeprefix("/") for path in person["groups"]} <= {
        group["name"] for group in REALM["groups"]
    }


def test_its_secrets_come_from_the_environment():
    values = re.findall(r'"(?:secret|value)": "([^"]*)"', TEXT)

    assert values == ["${KEYCLOAK_CLIENT_SECRET}", "${KEYCLOAK_DEMO_PASSWORD}"]
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf8")
    assert all(f"{value[2:-1]}: {value[:-1]}:-}}" in compose for value in values)
