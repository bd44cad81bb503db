"""The control plane's share, on timelines small enough to add up in the head."""

from datetime import UTC, datetime

import pytest

from models.observations import Seen
from tests.bench.first_light import after_power_on
from tests.bench.gaps import gaps, share


def rows(*told):
    """(milliseconds, kind, data) → events as /v1 tells them."""
    return [
        {
            "id": number,
            "at": datetime.fromtimestamp(1_000 + ms / 1000, UTC).isoformat(),
            "source": "control",
            "kind": kind.value,
            "data": data,
        }
        for number, (ms, kind, data) in enumerate(told)
    ]


def begun(ms, step):
    return (ms, Seen.STEP_BEGUN, {"step": step, "try": 1})


def test_from_commit_to_bmc_call_it_is_sprouts_turn_without_the_bmcs_own_time():
    told = rows(
        (0, Seen.ASKED, {}),
        begun(100, "powered-on"),
        (150, Seen.BMC_CALL, {"ms": 300}),
        (500, Seen.TASK_DONE, {}),
    )

    assert share(told) == pytest.approx(0.2)


def test_while_a_machine_boots_only_answers_count():
    told = rows(
        begun(0, "netbooted"),
        (2000, Seen.DHCP_OFFERED, {"ms": 3}),
        (3000, Seen.ARTIFACT_SERVED, {"ms": 900}),
        (9000, Seen.SCRIPT_SERVED, {"ms": 2}),
        begun(9010, "installing"),
    )

    assert share(told) == pytest.approx(0.003 + 0.010)


def test_from_callback_to_next_step_it_is_sprouts_turn():
    told = rows(
        begun(0, "installed"),
        (8000, Seen.INSTALL_PROGRESS, {}),
        (9000, Seen.INSTALLED, {}),
        (9020, Seen.PHASE_MOVED, {}),
        begun(9050, "phoned-home"),
        (30_000, Seen.PHONED_HOME, {}),
    )

    assert [(gap.after, round(gap.seconds, 3)) for gap in gaps(told)] == [
        ("installed", 0.02),
        ("phase-moved", 0.03),
    ]


def test_rows_are_taken_in_the_order_in_which_they_happened():
    told = rows(begun(100, "powered-on"), (0, Seen.ASKED, {}), (300, Seen.TASK_DONE, {}))

    assert share(told) == pytest.approx(0.3)


def test_a_timeline_of_nothing_has_no_share():
    assert share([]) == 0


def test_stages_are_counted_from_when_the_bmc_was_told():
    path = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"
    told = rows(
        (0, Seen.ASKED, {}),
        (500, Seen.BMC_CALL, {"kind": "reboot", "path": path}),
        (1000, Seen.BMC_CALL, {"kind": "power-on", "path": path}),
        (1100, Seen.DHCP_OFFERED, {}),
        (3000, Seen.SCRIPT_SERVED, {}),
    )

    assert after_power_on(told, "boot script") == pytest.approx(2)
