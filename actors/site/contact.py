"""How the agent stands to control: whether it was answered, and what it has said lately.

Times are of the monotonic clock.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

ANSWER_S: Final = 20.0
"""How long control has to answer a registration, before it is said that it did not."""

LONGEST_ANSWER_S: Final = 300.0

LATELY_S: Final = 120.0
"""For how long a confirmed row is told of: control takes none longer to read its queue."""


@dataclass(slots=True)
class Registration:
    """The registration: *due* to be said, *said*, *heard* of since; times of the monotonic clock.

    Control answers with everything that it has for the site.
    """

    due: bool = False
    said: bool = False
    heard: bool = False
    late_at: float = 0.0
    patience_s: float = ANSWER_S

    def say(self) -> None:
        """It is said now."""
        self.due, self.said, self.heard = False, True, False
        self.late_at = time.monotonic() + self.patience_s

    def answer(self) -> None:
        """Something came from control."""
        self.heard, self.patience_s = True, ANSWER_S

    @property
    def under_way(self) -> bool:
        """Whether it is about to be said, or was said and has no answer yet."""
        return self.due or (self.said and not self.heard)

    def overdue(self) -> bool:
        """Whether control has not answered in time; it then has longer for the next."""
        if not self.said or self.heard or time.monotonic() < self.late_at:
            return False
        self.patience_s = min(LONGEST_ANSWER_S, self.patience_s * 2)
        return True


class Spool:
    """The rows that the broker has confirmed lately: control judges nothing before it has them.

    Kept over reconnections, since rows may lie in a queue that control has not read yet.
    """

    def __init__(self) -> None:
        self._lately: deque[tuple[float, str, int, int, int]] = deque()

    def sent(self, incarnation: str, seqs: Sequence[int]) -> None:
        self._lately.append((time.monotonic(), incarnation, seqs[0], seqs[-1], len(seqs)))

    def told(self, incarnation: str) -> dict[str, Any]:
        """Return the first and the last number, and how many rows that were.

        Of *incarnation*; what was sent for earlier ones, whose rows waited, is told beside it.
        """
        while self._lately and self._lately[0][0] < time.monotonic() - LATELY_S:
            self._lately.popleft()
        each = {name: self._of(name) for _, name, *_ in self._lately}
        own = each.pop(incarnation, {"incarnation": incarnation, "first": 0, "last": 0, "rows": 0})
        return own | ({"earlier": list(each.values())} if each else {})

    def _of(self, incarnation: str) -> dict[str, Any]:
        sent = [each for each in self._lately if each[1] == incarnation]
        rows = sum(count for *_, count in sent)
        return {
            "incarnation": incarnation,
            "first": sent[0][2],
            "last": sent[-1][3],
            "rows": rows,
        }
