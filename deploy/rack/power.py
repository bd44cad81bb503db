"""The power button, as one table.

Rule 1: a reset that is not in ACTS is refused, as a BMC does it: "on" when on is an error here.
Rule 2: this module knows no process and no clock.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class PowerState(StrEnum):
    OFF = "Off"
    POWERING_ON = "PoweringOn"
    ON = "On"
    POWERING_OFF = "PoweringOff"


class Reset(StrEnum):
    """ResetType of Redfish."""

    ON = "On"
    FORCE_OFF = "ForceOff"
    GRACEFUL_SHUTDOWN = "GracefulShutdown"
    FORCE_RESTART = "ForceRestart"
    GRACEFUL_RESTART = "GracefulRestart"
    PUSH_POWER_BUTTON = "PushPowerButton"
    POWER_CYCLE = "PowerCycle"


class Act(StrEnum):
    """What is done to the machine for a reset."""

    LAUNCH = "launch"
    CUT = "cut"
    CUT_AND_LAUNCH = "cut-and-launch"
    ASK = "ask"
    ASK_AND_LAUNCH = "ask-and-launch"


class WrongState(Exception):
    """The machine's power state does not allow this reset."""

    def __init__(self, reset: Reset, state: PowerState) -> None:
        super().__init__(f"{reset} is refused while the power state is {state}")
        self.reset = reset
        self.state = state


_S, _R, _A = PowerState, Reset, Act

# fmt: off
ACTS: Final = MappingProxyType({
    (_R.ON,                _S.OFF):          _A.LAUNCH,
    (_R.PUSH_POWER_BUTTON, _S.OFF):          _A.LAUNCH,
    (_R.FORCE_OFF,         _S.ON):           _A.CUT,
    (_R.FORCE_OFF,         _S.POWERING_ON):  _A.CUT,
    (_R.FORCE_OFF,         _S.POWERING_OFF): _A.CUT,
    (_R.FORCE_RESTART,     _S.ON):           _A.CUT_AND_LAUNCH,
    (_R.POWER_CYCLE,       _S.ON):           _A.CUT_AND_LAUNCH,
    (_R.GRACEFUL_SHUTDOWN, _S.ON):           _A.ASK,
    (_R.PUSH_POWER_BUTTON, _S.ON):           _A.ASK,
    (_R.GRACEFUL_RESTART,  _S.ON):           _A.ASK_AND_LAUNCH,
})

MEANWHILE: Final = MappingProxyType({
    _A.LAUNCH:         _S.POWERING_ON,
    _A.CUT:            _S.POWERING_OFF,
    _A.CUT_AND_LAUNCH: _S.POWERING_OFF,
    _A.ASK:            _S.POWERING_OFF,
    _A.ASK_AND_LAUNCH: _S.POWERING_OFF,
})
"""The power state that is seen until the act is done."""
# fmt: on


def act_for(reset: Reset, state: PowerState) -> Act:
    """Return what to do for *reset*, or raise WrongState."""
    try:
        return ACTS[reset, state]
    except KeyError:
        raise WrongState(reset, state) from None
