"""Machines that are recorded at once: they wait for one another only over what both want."""

import pytest

from models.commands import inventory
from models.database import borrowed, database
from models.errors import Taken
from models.tables import Machine
from tests.models import make
from tests.models.test_day2 import at_once

pytestmark = pytest.mark.services

MACS = [f"52:54:00:00:77:{n:02x}" for n in range(8)]


@pytest.fixture
def site(db):
    return make.site()


def new(site, name, macs=MACS):
    interfaces = [
        inventory.NewInterface(name=f"eth{n}", mac=mac, pxe_enabled=n == 0)
        for n, mac in enumerate(macs)
    ]
    return inventory.NewMachine(
        site_id=site, hostname=name, architecture="x86_64", interfaces=interfaces, labels={}
    )


def test_of_several_with_the_same_macs_in_another_order_one_is_recorded(site):
    wanted = [new(site, f"n-{n}", MACS if n % 2 else MACS[::-1]) for n in range(6)]

    came = at_once(*[lambda each=each: inventory.create_machine(make.ADA, each) for each in wanted])

    assert sorted(type(each).__name__ for each in came).count("UUID") == 1
    assert [each for each in came if isinstance(each, Exception) and type(each) is not Taken] == []
    assert Machine.select().count() == 1


def test_one_that_is_under_way_holds_up_no_other(site):
    with database.atomic():
        inventory.create_machine(make.ADA, new(site, "slow", MACS[:1]))

        [other] = at_once(lambda: inventory.create_machine(make.ADA, new(site, "quick", MACS[1:])))

        assert not isinstance(other, Exception), other
    with borrowed():
        assert Machine.select().count() == 2
