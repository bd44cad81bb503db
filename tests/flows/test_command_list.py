"""The command list from `sites create` to `audit list`, on a machine with real firmware.

Its lines stand as in the list, in the order of a machine's life, and what each did is looked at
past the product: at the BMC, on the disk, in its console, by SSH, in DNS, and at Kea, whose
reservation gives the machine its address.  Beside what the list shows, the network is said to have
a DHCP server already (`--dhcp-mode proxy`).
"""

import pytest

from tests.flows import day2, entering, leaving
from tests.flows.day import Day
from tests.flows.stage import LIMIT_S
from tests.flows.yard import yard

pytestmark = [pytest.mark.machines, pytest.mark.timeout(LIMIT_S * 2)]

STEPS = (
    entering.sites, entering.networks, entering.discovers, entering.machines, entering.images,
    entering.commissions, entering.allocates, entering.provisions,
    day2.runs, day2.reboots, day2.reprovisions, day2.heeds, day2.inserts, day2.powers_on,
    day2.judges, leaving.syncs, leaving.exports, day2.powers_off,
    leaving.releases, leaving.retires, leaving.audits,
)  # fmt: skip


def test_every_verb_of_the_command_list_has_its_effect_outside(tmp_path, image_cache):
    with yard(tmp_path, image_cache) as found:
        day = Day(found)
        for step in STEPS:
            step(day)
