"""What a verb finds under way at its machine."""

from types import SimpleNamespace
from uuid import UUID

import pytest

from models.commands import verbs
from models.errors import NotReady
from models.kinds import Kind
from models.steps import Trait
from models.workflows import table_of

ON, OFF = table_of(Kind.RETIRE), table_of(Kind.PROVISION)


def flow(kind, *traits):
    return SimpleNamespace(id=UUID(int=1), kind=kind.value, params={"traits": list(traits)})


def test_a_clean_up_is_owed_by_what_takes_its_place_and_refuses_what_leaves_the_machine_on():
    under_way = [flow(Kind.POWER_ON), flow(Kind.CLEAN_UP)]

    assert verbs._owed(under_way, OFF)
    with pytest.raises(NotReady, match="being switched off") as caught:
        verbs._owed(under_way, ON)
    assert f"sprout workflows cancel {UUID(int=1)}" in caught.value.hint


BY_HAND = flow(Kind.CLEAN_UP, Trait.BY_HAND)


@pytest.mark.parametrize("under_way", [[], [flow(Kind.POWER_OFF)], [BY_HAND]])
def test_what_switches_nothing_off_is_owed_by_nobody(under_way):
    assert not verbs._owed(under_way, ON)
