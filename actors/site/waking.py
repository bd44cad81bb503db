"""The task that wakes a machine without a BMC: a packet now, and again until DHCP hears of it."""

import time
from collections.abc import Callable, Collection
from ipaddress import IPv4Network
from typing import Any, Final

from actors.drivers import wake
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Refused
from actors.site.orders import Order
from actors.site.warrant import Warrant

PAUSES_S: Final = (2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""After each packet: one may be lost, and no card says that it heard one."""

_LOOK_S: Final = 0.5


class Waking:
    """Sends to *networks* as they are then; *acked_at* tells when DHCP last heard a MAC."""

    def __init__(
        self,
        networks: Callable[[], Collection[IPv4Network]],
        acked_at: Callable[[str], float | None],
        netns: str | None = None,
    ) -> None:
        self._networks = networks
        self._acked_at = acked_at
        self._netns = netns

    def perform(self, order: Order, deadline: Deadline, warrant: Warrant) -> dict[str, Any]:
        """Wake the order's machine; return {sent, heard}: nobody can say more of it.

        Raises DriverError.
        """
        macs = [str(mac) for mac in order.params.get("macs") or ()]
        if not macs:
            raise Refused("the machine has no interface that could be woken")
        begun, sent = time.time(), 0
        for pause in PAUSES_S:
            warrant.permit("WAKE", f"udp://{','.join(macs)}")
            sent += wake.send(macs, self._networks(), self._netns)
            warrant.progress(f"waiting to hear of it after {sent} packets")
            if self._heard(macs, begun, deadline.within(pause), warrant) or not deadline.left:
                break
        return {"sent": sent, "heard": self._is_heard(macs, begun)}

    def _heard(
        self, macs: Collection[str], since: float, until: Deadline, warrant: Warrant
    ) -> bool:
        while not self._is_heard(macs, since):
            if not until.left:
                return False
            warrant.pause(min(_LOOK_S, until.left))
        return True

    def _is_heard(self, macs: Collection[str], since: float) -> bool:
        return any((self._acked_at(mac) or 0.0) >= since for mac in macs)
