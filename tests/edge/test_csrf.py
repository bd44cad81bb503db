"""What a browser that is signed in is made to send by somebody else's page changes nothing."""

import re

import pytest

from edge import auth
from tests.edge.conftest import ROOT, TOKEN

TEMPLATES = sorted((ROOT / "edge" / "templates").rglob("*.html"))
FORM = re.compile(r"<form[^>]*method=\"post\".*?</form>", re.DOTALL)


def forms():
    """Yield (where, text) of each form that changes something."""
    sources = {path.name: path.read_text() for path in TEMPLATES}
    for name, text in sources.items():
        yield from ((name, found[0]) for found in FORM.finditer(text))


def test_every_form_that_changes_something_bears_a_token():
    found = list(forms())

    assert len(found) > 5
    assert [where for where, text in found if 'name="csrf_token"' not in text] == []


@pytest.fixture
def browser(client, api):
    """A browser that is signed in by its session."""
    url = api.post("/v1/sign-in-codes").json["url"]
    code = url.partition("code=")[2]
    client.post("/sign-in", data={"code": code})
    assert client.get("/v1/sites").status_code == 200
    return client


def unsafe(app):
    """Yield (method, path) of each route that changes something, with some words for its parts."""
    some = "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10"
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - auth.SAFE - {"OPTIONS"}):
            if rule.endpoint not in auth.OPEN:
                yield method, re.sub(r"<(?:\w+:)?(\w+)>", some, rule.rule)


@pytest.mark.services
@pytest.mark.parametrize("token", [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "forged"}])
def test_a_session_changes_nothing_at_any_route_without_its_token(app, browser, token):
    answers = {
        (method, path): browser.open(path, method=method, json={}, headers=token)
        for method, path in unsafe(app)
    }

    assert len(answers) > 40
    told = {
        where: answer.get_json(silent=True)
        for where, answer in answers.items()
        if answer.status_code != 403
    }
    assert told == {}


@pytest.mark.services
def test_a_token_of_a_program_needs_none(client):
    answer = client.post(
        "/v1/sites", json={"name": "A", "slug": "a"}, headers={"Authorization": f"Bearer {TOKEN}"}
    )

    assert answer.status_code == 201
