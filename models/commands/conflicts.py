"""Who has already what somebody wants: unique rules, told with the other's id."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from peewee import IntegrityError

from models import roles
from models.audit import Caller
from models.database import database
from models.errors import Taken
from models.tables import (
    Artifact,
    Image,
    IntegrationJob,
    IntegrationRun,
    Machine,
    Network,
    Preparation,
    Profile,
    Site,
    SyncJob,
)

_HINT: Final = "Choose another, or use the one that exists."
_OPEN: Final = ("waiting", "running")
_KEY: Final = re.compile(r"Key \((?P<columns>[^)]*)\)=\((?P<values>.*)\) already exists\.")


@dataclass(frozen=True, slots=True)
class _Rule:
    """A unique rule: where in a body it is broken, and which rows of *table* it is about."""

    field: str
    sentence: str
    table: Any
    among: Any = None


_RULES: Final[Mapping[str, _Rule]] = MappingProxyType(
    {
        "sites_slug_key": _Rule("/slug", "another site has this slug", Site),
        "networks_name": _Rule("/name", "another network of this site has this name", Network),
        "artifacts_ref_key": _Rule("/ref", "another artifact has this reference", Artifact),
        "images_ref_key": _Rule("/ref", "another image has this reference", Image),
        "images_default": _Rule(
            "/isDefault", "another image became the default of this installer just now", None
        ),
        "profiles_ref_key": _Rule("/ref", "another profile has this reference", Profile),
        "machines_hostname": _Rule(
            "/hostname",
            "another machine of this site has this host name",
            Machine,
            Machine.state != "retired",
        ),
        # Of two at once: it may be at a site that the caller does not see.
        "interfaces_mac_key": _Rule(
            "/interfaces", "another machine has an interface with this MAC", None
        ),
        "interfaces_name": _Rule("/interfaces", "two interfaces have the same name", None),
        "preparations_open": _Rule(
            "/ref",
            "an ISO is being prepared to be the image of this reference",
            Preparation,
            Preparation.state.in_(_OPEN),
        ),
        "sync_jobs_open": _Rule(
            "/mode",
            "this is asked of the site already, and is not done yet",
            SyncJob,
            SyncJob.state.in_(_OPEN),
        ),
        "integration_jobs_name": _Rule(
            "/name", "another integration job of this site has this name", IntegrationJob
        ),
        "integration_runs_open": _Rule(
            "",
            "a run of this job is asked for already, and is not done",
            IntegrationRun,
            IntegrationRun.state.in_(_OPEN),
        ),
    }
)
"""The database's unique rules, told to the person."""


def told(broken: IntegrityError) -> Taken | None:
    """Return what is told of a broken unique rule, after its transaction; None: it is no such."""
    diagnosis: Any = getattr(getattr(broken, "orig", None), "diag", None)
    rule = _RULES.get(getattr(diagnosis, "constraint_name", None) or "")
    if rule is None:
        return None
    other = None if rule.table is None else _other(rule, diagnosis.message_detail or "")
    sentence = rule.sentence if other is None else f"{rule.sentence}: {other}"
    return Taken(sentence, field=rule.field, hint=_HINT)


def _other(rule: _Rule, detail: str) -> Any:
    """Return the id of the row that has what PostgreSQL's *detail* names; None: it is gone."""
    key = _KEY.fullmatch(detail)
    if key is None:
        return None
    columns = key["columns"].split(", ")
    # Of several columns the last is a text, and may hold a comma.
    values = key["values"].split(", ", len(columns) - 1)
    query = rule.table.select()
    for column, value in zip(columns, values, strict=True):
        query = query.where(getattr(rule.table, column) == value)
    row = (query if rule.among is None else query.where(rule.among)).first()
    return None if row is None else row.id


_OWNERS: Final = """
SELECT i.mac::text, m.id, m.hostname, s.slug
FROM interfaces i JOIN machines m ON m.id = i.machine_id JOIN sites s ON s.id = m.site_id
WHERE i.mac = ANY(%s::macaddr[])
"""


def demand_free_macs(caller: Caller, wanted: Mapping[str, int]) -> None:
    """Return if no machine has a MAC of *wanted*, which says the number of each one's interface.

    Raises Taken, which names the machine to who may see it.
    """
    owners = database.execute_sql(_OWNERS, (list(wanted),)) if wanted else ()
    for mac, machine, hostname, slug in owners:
        seen = not caller.grants or roles.held(caller.grants, slug) is not None
        who = f"machine {hostname} ({machine})" if seen else "a machine of another site"
        raise Taken(
            f"{who} has an interface with MAC {mac}",
            field=f"/interfaces/{wanted[mac]}/macAddress",
            hint="A MAC belongs to one machine; look for a typing error or retire the other.",
        )
