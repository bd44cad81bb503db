"""The task that fetches what a machine reported of itself from where boot HTTP put it."""

import hashlib
from typing import Any, Final

from actors.drivers.deadline import Deadline
from actors.drivers.errors import Refused, Unreachable
from actors.site.findings import RECORD
from actors.site.orders import Order
from actors.site.warrant import Warrant
from models import hardware
from models.errors import Invalid
from pxe_stack.reports import Reports

FACTS: Final = "facts"


class Inventories:
    """The reports that came to this site."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def perform(self, order: Order, _deadline: Deadline, _warrant: Warrant) -> dict[str, Any]:
        """Return the facts of the run's report, with all of it as their record.

        Raises Unreachable where it is not here, and Refused where it is none.
        """
        try:
            content = None if order.run is None else self._reports.read(order.run)
        except OSError as exc:
            raise Unreachable(f"the machine's report cannot be read: {exc.strerror}") from exc
        if content is None:
            raise Unreachable("this agent has no report of the machine's run")
        text = content.decode("utf-8", "replace")
        try:
            facts = hardware.facts(text)
        except Invalid as exc:
            raise Refused(f"what the machine sent is no inventory: {exc}") from exc
        told = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        return {FACTS: facts, **told, RECORD: {**told, "report": text.splitlines()}}
