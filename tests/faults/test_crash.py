"""Processes killed and stopped while machines are provisioned; 200 schedules by `make faults`."""

import pytest

from tests.faults import crash

SEEDS = (2, 3, 5, 8, 13)


@pytest.mark.services
@pytest.mark.timeout(480)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_dies_every_machine_becomes_active_and_no_bmc_is_told_twice(seed, tmp_path):
    tmp_path.chmod(0o755)

    outcome = crash.run(seed, tmp_path)

    assert len(outcome.faults) == crash.FAULTS
    assert outcome.wrongs == []
