"""How records that operators enter are written: in one transaction, under unique rules."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final
from uuid import UUID

from peewee import IntegrityError

from models.database import database
from models.errors import Taken, Unknown
from models.tables import Site

_TAKEN: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "sites_slug_key": ("/slug", "another site has this slug"),
        "networks_name": ("/name", "another network of this site has this name"),
        "artifacts_ref_key": ("/ref", "another artifact has this reference"),
        "images_ref_key": ("/ref", "another image has this reference"),
        "profiles_ref_key": ("/ref", "another profile has this reference"),
        "machines_hostname": ("/hostname", "another machine of this site has this host name"),
        "interfaces_mac_key": ("/interfaces", "another machine has an interface with this MAC"),
        "sync_jobs_open": ("/mode", "this is asked of the site already, and is not done yet"),
        "integration_jobs_name": ("/name", "another integration job of this site has this name"),
        "integration_runs_open": ("", "a run of this job is asked for already, and is not done"),
        "interfaces_name": ("/interfaces", "two interfaces have the same name"),
    }
)
"""The database's unique rules, told to the person: constraint → (field, sentence)."""

# Rows that refer to a site are inserted without waiting for it, and so have no part in a deadlock.
_LOCK: Final = "FOR NO KEY UPDATE"


@contextmanager
def recorded() -> Iterator[None]:
    """One transaction; a broken unique rule becomes Taken with its field."""
    try:
        with database.atomic():
            yield
    except IntegrityError as exc:
        for rule, (field, sentence) in _TAKEN.items():
            if f'"{rule}"' in str(exc):
                hint = "Choose another, or use the one that exists."
                raise Taken(sentence, field=field, hint=hint) from exc
        raise


def locked_site(site_id: UUID, field: str) -> Site:
    """Return the site's row, locked against others that record something there.  Raises Unknown."""
    found = Site.select().where(Site.id == site_id)
    row: Site | None = found.for_update(_LOCK).first()  # type: ignore[arg-type] # or a clause
    if row is None:
        raise Unknown(f"no site {site_id}", field=field, hint="List them with: sprout sites list")
    return row
