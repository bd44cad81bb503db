"""ETag and If-Match, Idempotency-Key: nothing is lost between two who edit, or done twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

from models.commands import idempotency
from models.database import borrowed
from models.tables import Audit, IdempotencyKey, Site
from tests.edge import make
from tests.edge.conftest import Api

pytestmark = pytest.mark.services

KEY = {"Idempotency-Key": "ticket-4711"}


@pytest.fixture
def network(api, site):
    return api.made("/v1/networks", make.network(site["id"]))


def changed(api, network, body, **headers):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.patch(f"/v1/networks/{network['id']}", body, headers=given)


def test_the_etag_of_a_record_is_its_version(api, network):
    answer = api.get(f"/v1/networks/{network['id']}")

    assert answer.headers["ETag"] == '"1"'
    assert changed(api, network, {"leaseS": 7200}, If_Match='"1"').headers["ETag"] == '"2"'


def test_the_etag_of_what_has_no_version_tells_of_any_change(api, site):
    before = api.get("/v1/sites/ams-1/health").headers["ETag"]
    again = api.get("/v1/sites/ams-1/health").headers["ETag"]
    api.made("/v1/machines", make.machine(site["id"]))

    assert before == again != api.get("/v1/sites/ams-1/health").headers["ETag"]


def test_lists_have_no_etag(api, site):
    assert "ETag" not in api.get("/v1/sites").headers


def test_who_edits_what_was_changed_meanwhile_is_told_412(api, network):
    first = changed(api, network, {"leaseS": 7200}, If_Match='"1"')
    second = changed(api, network, {"leaseS": 1800}, If_Match='"1"')

    assert (first.status_code, second.status_code) == (200, 412)
    assert second.json["type"] == "/problems/precondition-failed"
    assert api.get(f"/v1/networks/{network['id']}").json["leaseS"] == 7200


@pytest.mark.parametrize("tag", ['W/"1"', '"x"', "1", "", "*, *", '"0"', '"2"', '"1", "2"'])
def test_a_tag_that_is_not_the_records_changes_nothing(api, network, tag):
    assert changed(api, network, {"leaseS": 7200}, If_Match=tag).status_code == 412
    assert api.delete(f"/v1/networks/{network['id']}", headers={"If-Match": tag}).status_code == 412
    assert api.get(f"/v1/networks/{network['id']}").json["version"] == 1


def test_an_update_that_names_no_version_is_refused_and_a_star_names_any(api, network):
    silent = changed(api, network, {"leaseS": 7200})

    assert (silent.status_code, silent.json["errors"][0]["pointer"]) == (428, "/version")
    assert changed(api, network, {"leaseS": 7200}, If_Match="*").json["version"] == 2


def test_a_machine_is_changed_or_deleted_as_it_was_read_or_not_at_all(api, site):
    path = f"/v1/machines/{api.made('/v1/machines', make.machine(site['id']))['id']}"
    old = {"If-Match": '"1"'}

    first = api.patch(path, {"memoryMib": 1024}, headers=old)
    second = api.patch(path, {"memoryMib": 2048}, headers=old)

    assert (first.status_code, second.status_code) == (200, 412)
    assert api.delete(path, headers=old).status_code == 412
    assert api.delete(path, headers={"If-Match": first.headers["ETag"]}).status_code == 200


def test_a_stale_version_in_the_body_is_409(api, network):
    changed(api, network, {"leaseS": 7200}, If_Match="*")

    assert changed(api, network, {"version": 1, "leaseS": 60}).json["type"] == "/problems/stale"


def test_the_same_key_gets_the_same_answer_and_does_nothing_twice(api):
    first = api.post("/v1/sites", make.site(), headers=KEY)
    second = api.post("/v1/sites", make.site(), headers=KEY)

    assert first.status_code == second.status_code == 201
    assert first.data == second.data
    for name in ("Location", "ETag", "Content-Type"):
        assert first.headers[name] == second.headers[name]
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    assert [row["action"] for row in api.audit()] == ["site.create"]


@pytest.mark.parametrize(
    "other",
    [
        lambda api: api.post("/v1/sites", make.site(slug="ber-1"), headers=KEY),
        lambda api: api.post("/v1/profiles", make.profile(), headers=KEY),
    ],
)
def test_the_same_key_with_another_request_is_422(api, other):
    api.post("/v1/sites", make.site(), headers=KEY)

    answer = other(api)

    assert (answer.status_code, answer.json["type"]) == (422, "/problems/idempotency-mismatch")


def test_a_refusal_is_not_kept_so_that_it_can_be_mended(api):
    refused = api.post("/v1/networks", make.network("0" * 32), headers=KEY)
    site = api.made("/v1/sites", make.site())

    assert refused.status_code == 422
    body = make.network(site["id"])
    assert api.post("/v1/networks", body, headers=KEY).status_code == 201


def test_what_comes_with_one_key_at_once_is_done_once(app, database_url):
    start = Barrier(4)

    def ask(_):
        api = Api(app)
        start.wait()
        return api.post("/v1/sites", make.site(), headers=KEY)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.data for answer in answers}) == 1
    with borrowed():
        assert Site.select().count() == 1
        assert Audit.select().count() == 1


def test_a_key_is_its_callers_own(api, app):
    made = api.made("/v1/api-tokens", {"name": "other", "role": "admin", "days": 1})
    other = Api(app, token=made["token"])

    api.post("/v1/sites", make.site(), headers=KEY)
    answer = other.post("/v1/sites", make.site(slug="ber-1"), headers=KEY)

    assert answer.status_code == 201


def test_a_key_is_of_one_token_and_not_of_all_that_bear_its_name(api, app):
    body = {"name": "nightly", "role": "admin", "days": 1}
    programs = [Api(app, api.made("/v1/api-tokens", body)["token"]) for _ in range(2)]

    answers = [each.post("/v1/sites", make.site(), headers=KEY) for each in programs]

    assert [each.status_code for each in answers] == [201, 409]


def test_a_secret_is_given_once_and_kept_nowhere(api):
    first = api.post("/v1/sign-in-codes", headers=KEY)
    second = api.post("/v1/sign-in-codes", headers=KEY)

    assert first.status_code == 201
    assert (second.status_code, second.json["type"]) == (409, "/problems/answer-not-kept")
    with borrowed():
        assert IdempotencyKey.get().body is None


def test_a_key_is_forgotten_after_a_day(api):
    api.post("/v1/sites", make.site(), headers=KEY)
    with borrowed():
        past = idempotency.now() - timedelta(seconds=1)
        IdempotencyKey.update(expires_at=past).execute()

    answer = api.post("/v1/sites", make.site(slug="ber-1"), headers=KEY)

    assert answer.status_code == 201
    with borrowed():
        assert idempotency.prune() == 0
        IdempotencyKey.update(expires_at=past).execute()
        assert idempotency.prune() == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "\xe9"])
def test_a_key_that_is_none_is_refused(api, key):
    answer = api.post("/v1/sites", make.site(), headers={"Idempotency-Key": key})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/Idempotency-Key"
