"""How often a client has asked: firmware that always says 0 seconds is told apart by that."""

from collections import OrderedDict
from typing import Final

from pxe_stack.packets import Kind, Request

FORGOTTEN_S: Final = 60.0
"""Silence after which a client's next DISCOVER is its first again."""
MOST: Final = 8192
_DISCOVER: Final = Kind.DISCOVER


class Tries:
    """Counts of DISCOVERs by MAC; the clients that were silent for longest are forgotten."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def of(self, request: Request, now: float) -> int:
        """Count *request*, and return which try of its client it is."""
        if request.kind is not _DISCOVER:
            return 1
        count, last = self._seen.pop(request.mac, (0, now))
        count = 1 if now - last > FORGOTTEN_S else count + 1
        self._seen[request.mac] = (count, now)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
        return count
