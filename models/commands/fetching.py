"""What a machine is told to fetch by itself: judged before its BMC hears of it."""

from typing import Final
from uuid import UUID

from models import urls
from models.tables import Machine

_HINT: Final = (
    "Write http://HOST/PATH or https://HOST/PATH of a server that the machine reaches, "
    "with no password."
)


def demand(machine_id: UUID, url: str, *, field: str) -> None:
    """Raise Invalid where *url* cannot be fetched by the BMC or the firmware of the machine.

    What is near to a BMC is itself, unless it is emulated where control is.
    """
    row = Machine.get_or_none(Machine.id == machine_id)
    board = ((row and row.bmc) or {}).get("address") or ""
    urls.service(url, field=field, hint=_HINT, near=urls.special(board))
