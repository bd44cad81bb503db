from itertools import permutations

import pytest

from models.observations import Seen
from models.phases import ORDER, REACHED_BY, Phase, advance, phase_of


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("seen", list(Seen))
def test_a_phase_never_moves_back_and_never_leaves_an_end(phase, seen):
    after = advance(phase, seen)

    if phase in {Phase.FAILED, Phase.READY}:
        assert after is phase
    else:
        assert ORDER.index(after) >= ORDER.index(phase)


@pytest.mark.parametrize("order", list(permutations(REACHED_BY, 3)))
def test_the_order_in_which_sightings_arrive_does_not_matter(order):
    assert phase_of(order) is phase_of(sorted(order))


def test_a_boot_that_skips_what_its_system_lacks_still_comes_to_first_boot():
    assert phase_of([Seen.SCRIPT_SERVED, Seen.PHONED_HOME]) is Phase.FIRST_BOOT
