"""The command list from `sites create` to `audit list`, on a machine with real firmware."""

import pytest

from tests.flows.day import STEPS, Day
from tests.flows.stage import LIMIT_S
from tests.flows.yard import yard

pytestmark = [pytest.mark.machines, pytest.mark.timeout(LIMIT_S * 2)]


def test_every_verb_of_the_command_list_has_its_effect_outside(tmp_path, image_cache):
    with yard(tmp_path, image_cache) as found:
        day = Day(found)
        for step in STEPS:
            step(day)
