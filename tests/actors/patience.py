"""Time that passes as a driver waits and never as it works: no busy machine ends it early."""

from dataclasses import dataclass, field

from actors.drivers.deadline import Deadline


@dataclass
class Clock:
    """Seconds that were waited for; :meth:`wait` is what a driver pauses by."""

    now: float = 0.0

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def after(self, seconds: float) -> Deadline:
        """Return the moment *seconds* of waiting from now."""
        return _Moment(self.now + seconds, self)


@dataclass(frozen=True, slots=True)
class _Moment(Deadline):
    clock: Clock = field(default_factory=Clock)

    @property
    def left(self) -> float:
        return max(0.0, self.at - self.clock.now)

    def within(self, seconds: float) -> Deadline:
        return _Moment(min(self.at, self.clock.now + seconds), self.clock)
