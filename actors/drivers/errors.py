"""Every way a driver fails: will it pass, and whose fault is it?

* DriverError            `retryable`: the same call may succeed later
  x Unreachable          no answer, or none in time: it may pass
    + Garbled            an answer that makes no sense
    + Resting            it was silent before, and is left alone for now; nothing was sent
  x NoEffect             the peer said yes and did nothing
  x LeaseLost            the task is another agent's, or may be; nothing was sent
  x Refused              the peer says no, and will say so again
    + NoSuchSystem       the BMC does not govern the machine that is meant
    + NotAllowed         our own rules say no; nothing was sent
    + NotLetIn           the host takes no login by our key
    + HostKeyChanged     another key than the one that is pinned; nothing was sent
    + Unsuccessful       it was done, and says itself that it failed
    + Conflict           the peer holds something else under that name
  x Interrupted          it was begun, and nobody knows how it ended
    + TookTooLong        its time was over, and it was told to end
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class DriverError(Exception):
    """Base class.  Its text is shown to operators and holds no secret.

    *result* is what was found all the same; *untouched*: the peer says that it changed nothing.
    """

    retryable: ClassVar[bool] = False
    untouched: bool = False

    def __init__(self, message: str = "", *, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.result = result


class Unreachable(DriverError):
    """No answer, or none in time."""

    retryable = True


class Garbled(Unreachable):
    """An answer that makes no sense: cut off, not JSON, or without what every answer has."""


class Resting(Unreachable):
    """The peer was silent several times and is left alone for now; nothing was sent."""


class NoEffect(DriverError):
    """The peer accepted the order, and reading back shows that nothing came of it."""

    retryable = True


class LeaseLost(DriverError):
    """The task is another agent's, or may be by now; nothing was sent."""

    retryable = True


class Refused(DriverError):
    """The peer says no."""


class NoSuchSystem(Refused):
    """The BMC does not govern the machine that is meant."""


class NotAllowed(Refused):
    """Our own rules forbid the call; nothing was sent."""


class NotLetIn(Refused):
    """The host takes no login by our key; nothing was sent."""


class HostKeyChanged(Refused):
    """The host shows another key than the one that is pinned; nothing was sent."""


class Unsuccessful(Refused):
    """It was done, and says itself that it failed."""


class Interrupted(DriverError):
    """It was begun, and nobody knows how it ended."""


class Conflict(Refused):
    """The peer holds something else in that place."""


class TookTooLong(Interrupted):
    """Its time was over, and it was told to end: another try would take as long."""
