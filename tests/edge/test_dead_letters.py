"""Dead letters over the API: listed, looked at, sent again once."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from models.commands import dead_letters
from models.messages import REPORT_QUEUE, Actor, encoded
from models.tables import Outbox

pytestmark = pytest.mark.services


@pytest.fixture
def kept(db):
    def keep(body=None, **more):
        message = {"envelope": {"site": "x"}, "signature": "s3cret"}
        body = body or encoded(Actor.REPORT, REPORT_QUEUE, {"message": message}, now=time.time())
        fields = {"message_id": "m-1", "queue": REPORT_QUEUE, "reason": "rejected"}
        fields |= {"detail": "Denied: wrong", "died_at": datetime.now(UTC)}
        dead_letters.keep(**fields | more, body=body)
        return dead_letters.listed()[0]

    return keep


def test_a_dead_letter_is_listed_with_its_reason_and_opened_without_its_secrets(api, kept):
    letter = kept()

    [row] = api.get("/v1/dead-letters").json["items"]
    opened = api.get(f"/v1/dead-letters/{letter.id}").json

    assert (row["queue"], row["reason"], row["detail"]) == (
        REPORT_QUEUE,
        "rejected",
        "Denied: wrong",
    )
    assert opened["body"]["actor_name"] == "report"
    assert "s3cret" not in json.dumps(opened)


def test_the_same_message_kept_twice_is_one_dead_letter(api, kept):
    died = datetime.now(UTC)
    kept(b"not json", died_at=died)
    kept(b"not json", died_at=died)

    [row] = api.get("/v1/dead-letters").json["items"]
    assert api.get(f"/v1/dead-letters/{row['id']}").json["body"] == "not json"


def test_a_dead_letter_is_sent_again_once_and_that_is_in_the_audit(api, kept):
    letter = kept()
    Outbox.delete().execute()

    first = api.post(f"/v1/dead-letters/{letter.id}/replay")
    second = api.post(f"/v1/dead-letters/{letter.id}/replay")

    assert (first.status_code, second.status_code) == (202, 409)
    assert [bytes(row.body) for row in Outbox.select()] == [letter.body]
    told = [(row["action"], row["outcome"]) for row in api.audit()]
    assert told == [("dead-letter.replay", "refused"), ("dead-letter.replay", "done")]


def test_a_message_that_is_past_its_age_stays_dead(api, kept):
    old = encoded(Actor.COMMAND, "sprout.agent.x.1", {}, now=time.time() - 60, expires_in_s=1)
    letter = kept(old, reason="expired")

    answer = api.post(f"/v1/dead-letters/{letter.id}/replay")

    assert answer.status_code == 409
    assert "past its age" in answer.json["detail"]
    assert not Outbox.select().exists()


def test_pages_of_dead_letters_follow_each_other(api, kept):
    for number in range(5):
        kept(f"{number}".encode(), died_at=datetime.now(UTC) + timedelta(seconds=number))

    first = api.get("/v1/dead-letters?limit=3").json
    second = api.get(f"/v1/dead-letters?limit=3&cursor={first['next']}").json

    ids = [row["id"] for page in (first, second) for row in page["items"]]
    assert len(set(ids)) == 5
    assert second["next"] is None


def test_an_unknown_dead_letter_is_not_found(api, db):
    nobody = "5a1e7d2a-7c11-5a55-9d6f-5f3e2b10c0de"

    assert api.get(f"/v1/dead-letters/{nobody}").status_code == 404
    assert api.post(f"/v1/dead-letters/{nobody}/replay").status_code == 404
