"""What becomes of a decision that cannot be made: the workflow ends with a reason."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from peewee import DoesNotExist

from models.commands import walks
from models.engine import Outcome
from models.errors import NotReady
from models.steps import Decision


class ImageDoesNotExist(DoesNotExist):
    """As peewee makes one of each table."""


@pytest.mark.parametrize(
    ("lack", "why"),
    [(NotReady("no address is free"), "no address"), (ImageDoesNotExist("SQL"), "there no more")],
)
def test_a_decision_that_lacks_what_it_goes_by_is_refused_and_not_tried_for_ever(
    monkeypatch, lack, why
):
    def lacks(_walk):
        raise lack

    flow = SimpleNamespace(outcome=Outcome.OPEN.value, detail="")
    monkeypatch.setattr(walks, "_DECISIONS", {Decision.PREPARE_INVENTORY: lacks})
    monkeypatch.setattr(walks, "database", SimpleNamespace(atomic=nullcontext))

    walks._decide(SimpleNamespace(flow=flow), Decision.PREPARE_INVENTORY)

    assert flow.outcome == Outcome.REFUSED.value
    assert why in flow.detail
