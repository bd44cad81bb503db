"""How machines of a rehearsal are led on from where an earlier start left them."""

import pytest

from edge.cli.fleet import Fleet
from edge.cli.rehearsal import Records

WHEN = "2026-11-21T12:00:00Z"


def asked_for(**row):
    """Return what a machine that stands as *row* says is asked for next; "" for nothing."""
    records = Records(site="s", image="i", profile="p", machines={"one": "m"})
    act = Fleet(None, records, print)._next({"id": "m", "commissionedAt": None, **row})
    return "" if act is None else act.args[-1]


@pytest.mark.parametrize(
    ("state", "commissioned", "verb"),
    [
        ("registered", None, "commission"),
        ("failed", None, "commission"),
        ("failed", WHEN, "provision"),
        ("available", WHEN, "provision"),
        ("active", WHEN, "power-on"),
        ("retired", WHEN, ""),
    ],
)
def test_a_machine_is_led_on_from_where_an_earlier_start_left_it(state, commissioned, verb):
    assert asked_for(state=state, commissionedAt=commissioned) == verb
