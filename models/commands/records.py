"""How records that operators enter are written: in one transaction, under unique rules."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from peewee import IntegrityError

from models.commands import conflicts
from models.commands.moves import now
from models.database import database
from models.errors import InUse, Stale, Unknown
from models.tables import Site

DOCUMENTS: Final = frozenset({"cloud_config_template"})
"""Columns that are told by their checksum."""

NAMED: Final = 3
"""How many of those who use something are named."""


@contextmanager
def recorded() -> Iterator[None]:
    """One transaction; a broken unique rule becomes Taken with its field."""
    try:
        with database.atomic():
            yield
    except IntegrityError as exc:
        taken = conflicts.told(exc)
        if taken is None:
            raise
        raise taken from exc


def locked_site(site_id: UUID, field: str, *, shared: bool = False) -> Site:
    """Return the site's row, locked against others that record something there.  Raises Unknown.

    Those who have it *shared* wait for the others, and not for one another.
    """
    # Rows that refer to a site are inserted without waiting for it, and deadlock with nobody.
    lock = "SHARE" if shared else "NO KEY UPDATE"
    row = Site.first_where(f"id = %s FOR {lock}", str(site_id))
    if row is None:
        raise Unknown(f"no site {site_id}", field=field, hint="List them with: sprout sites list")
    return row


def demand_version(row: Any, version: int | None, what: str) -> None:
    """Return if *row*, called *what*, is still at *version*; None: at any.  Raises Stale."""
    if version is not None and row.version != version:
        raise Stale(
            f"{what} was changed meanwhile: it is at version {row.version}",
            field="/version",
            hint="Read it again, and repeat what you want of it with its version.",
        )


def edited(row: Any, changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write *changes* of columns to *row*, whose lock is held, and count its version.

    Returns what the audit tells of it: the columns that are another now, before and after, by the
    names that the API gives them; None when there are none, and nothing was written.
    """
    other = {name: value for name, value in changes.items() if getattr(row, name) != value}
    if not other:
        return None
    told = {"before": shown(row, other)}
    for name, value in other.items():
        setattr(row, name, value)
    row.version += 1
    row.updated_at = now()
    row.save(only=[*other, "version", "updated_at"])
    return told | {"after": shown(row, other)}


def shown(row: Any, columns: Iterable[str]) -> dict[str, Any]:
    """Return *columns* of *row* as the audit shows them: documents by their SHA-256 alone."""
    return {_api(name): _summed(getattr(row, name), name) for name in columns}


def _api(column: str) -> str:
    first, *rest = column.split("_")
    return first + "".join(map(str.capitalize, rest))


def _summed(value: Any, column: str) -> Any:
    # An operator's document may hold what he should not have written into it.
    if column not in DOCUMENTS:
        return value
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"


def unused(what: str, users: Collection[str], hint: str) -> None:
    """Return if nobody uses what is called *what*.  Raises InUse, which names *users*."""
    if not users:
        return
    named = ", ".join([*users][:NAMED])
    more = " and others" if len(users) > NAMED else ""
    raise InUse(f"{what} is used by {named}{more}", hint=hint)
