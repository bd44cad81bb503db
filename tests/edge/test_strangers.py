"""Those whom nobody knows: what they are told, and how much they can make us do."""

import json

import pytest

from edge import health
from edge.restraint import FROM_ALL, FROM_ONE, WINDOW_S, Restraint
from models import database as pool
from models.tables import Audit
from tests.edge.conftest import TOKEN
from tests.edge.signed_in import Browser
from tests.services.process import free_ports

NEAR, FAR = "127.0.0.1", "198.51.100.7"


def ready(client, *, source=FAR, **headers):
    return client.get("/readyz", headers=headers, environ_base={"REMOTE_ADDR": source})


def guess(client, *, source=FAR, method="get", path="/v1/sites"):
    headers = {"Authorization": "Bearer guess"}
    return client.open(
        path, method=method.upper(), headers=headers, environ_base={"REMOTE_ADDR": source}
    )


@pytest.fixture
def cut_off(app):
    """The application while its database is away."""
    (port,) = free_ports(1)
    pool.database.close_all()
    pool.configure(f"postgresql://sprout@127.0.0.1:{port}/sprout", connections=2)
    return app


# --- /readyz ---


@pytest.mark.services
def test_a_stranger_from_elsewhere_is_told_whether_and_not_what(app, db):
    answer = ready(app.test_client())

    assert (answer.status_code, answer.json) == (200, {"ready": True})


@pytest.mark.services
@pytest.mark.parametrize(
    ("source", "headers"),
    [(NEAR, {}), (FAR, {"Authorization": f"Bearer {TOKEN}"})],
    ids=["on this machine", "with a token"],
)
def test_who_is_known_or_near_is_told_each_check(app, db, source, headers):
    assert "database" in ready(app.test_client(), source=source, **headers).json["checks"]


@pytest.mark.services
def test_a_signed_in_browser_is_told_each_check(app, db):
    person = Browser(app)

    assert "checks" in json.loads(person.get("/readyz").data)


@pytest.mark.services
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer sprout_wrong"},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "sprout_session=stolen"},
        {"X-Forwarded-For": "127.0.0.1"},
    ],
)
def test_whoever_only_claims_to_be_known_is_a_stranger(app, db, headers):
    source = NEAR if "X-Forwarded-For" in headers else FAR

    assert ready(app.test_client(), source=source, **headers).json == {"ready": True}


@pytest.mark.services
def test_a_token_that_cannot_be_looked_up_is_a_strangers(cut_off):
    answer = ready(cut_off.test_client(), Authorization="Bearer sprout_any")

    assert (answer.status_code, answer.json) == (503, {"ready": False})


def test_who_asks_often_makes_us_look_once(bare, monkeypatch):
    looks = []
    monkeypatch.setattr(health, "broker_check", lambda _: looks.append(1) or {"ok": True})
    monkeypatch.setattr(health, "FRESH_S", 3600.0)

    for _ in range(20):
        ready(bare.test_client())

    assert len(looks) == 1


# --- guesses are written down, and not without end ---


@pytest.mark.services
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_token_that_is_not_good_is_written_down_whatever_was_asked(app, db, method):
    guess(app.test_client(), method=method)

    row = Audit.get()
    assert (row.actor, row.outcome, row.source_ip) == ("anonymous", "refused", FAR)
    assert row.data["code"] == "unauthenticated"


@pytest.mark.services
def test_who_brings_no_token_and_only_reads_is_not_written_down(app, db):
    app.test_client().get("/v1/sites", environ_base={"REMOTE_ADDR": FAR})

    assert Audit.select().count() == 0


@pytest.mark.services
def test_a_flood_of_guesses_is_a_few_rows_and_hides_nobody_else(app, db):
    client = app.test_client()

    answers = {guess(client).status_code for _ in range(3 * FROM_ONE)}
    guess(client, source="203.0.113.1")

    assert answers == {401}
    rows = [row.source_ip for row in Audit.select()]
    assert (rows.count(FAR), rows.count("203.0.113.1")) == (FROM_ONE, 1)


def test_what_was_left_out_is_told_with_the_next_row():
    restraint = Restraint()
    admitted = [restraint.admit("a", 1.0) for _ in range(FROM_ONE + 5)]

    later = restraint.admit("a", 1.0 + WINDOW_S)

    assert admitted == [0] * FROM_ONE + [None] * 5
    assert later == 5


def test_many_addresses_together_have_a_limit_and_are_forgotten_in_the_end():
    restraint = Restraint()

    admitted = [restraint.admit(f"{n}", 1.0) for n in range(5000)]

    assert sum(each is not None for each in admitted) == FROM_ALL
    assert restraint.admit("0", 1.0 + WINDOW_S) == 0
