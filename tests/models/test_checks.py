"""What a canary says: cut, kept with its agent, and the newest wins."""

import pytest

from models import checks, queries
from models.commands import reports
from models.database import database
from models.messages import Kind
from models.observations import Observation, Seen, Source
from tests.models import make

FINDING = {"client": "x64", "what": "loader", "level": "ok", "detail": "fine"}
FOREIGN = {"address": "10.77.0.9", "mac": "52:54:00:00:00:09", "offered": "", "file": "x"}


def body(level="ok", foreign=(), **changes):
    return {"findings": [FINDING | {"level": level} | changes], "foreign": list(foreign)}


def told(data, at=1000.0):
    return Observation(kind=Seen.SITE_CHECKED, source=Source.AGENT, at=at, data=data)


def test_what_an_agent_sends_is_cut_to_what_is_kept():
    check = checks.Check.of(
        {"findings": [FINDING | {"detail": "a\0b" + "x" * 999}] * 99, "foreign": [FOREIGN] * 99}
    )

    assert (len(check.findings), len(check.foreign)) == (64, 64)
    assert check.findings[0].detail == "a?b" + "x" * 297


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"unreadable": 1},
        {"findings": 1, "foreign": []},
        body(level="worse"),
        body() | {"foreign": [1]},
    ],
)
def test_what_is_no_check_is_none(data):
    with pytest.raises((KeyError, TypeError, ValueError)):
        checks.Check.of(data)


def test_two_checks_that_found_the_same_have_one_outcome_whatever_it_took():
    slow, fast = (checks.Check.of(body(detail=each)) for each in ("9 ms", "1 ms"))

    assert slow.outcome == fast.outcome
    assert slow.outcome != checks.Check.of(body(foreign=[FOREIGN])).outcome


@pytest.mark.services
def test_the_newest_check_of_an_agent_is_kept_with_it(db):
    site = make.site()
    agent = make.Agent(site)

    for seq, seen in enumerate(
        [told(body("failed"), at=2000.0), told(body()), told({"findings": "x"}, at=3000.0)]
    ):
        sent = {"incarnation": "i", "reports": [{"seq": seq, **seen.encode()}]}
        reports.receive(agent.envelope(Kind.OBSERVATIONS, sent), make.render)

    (view,) = queries.agents(site)
    assert view.checked["findings"][0]["level"] == "failed"
    assert view.checked_at.timestamp() == 2000
    [(rows,)] = database.execute_sql("SELECT count(*) FROM observations WHERE kind='site-checked'")
    assert rows == 3
