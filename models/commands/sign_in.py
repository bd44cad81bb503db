"""One-time codes by which a person's browser is let in: kept hashed, good once, for a while."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from models import audit
from models.audit import Caller
from models.commands.moves import now
from models.database import database
from models.errors import NotFound
from models.roles import Grant, Role
from models.tables import SignInCode

_KEPT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Came:
    """Who came in by a code; *until*: when whoever asked for it is in no longer, None: never."""

    caller: Caller
    until: datetime | None


def issue(
    caller: Caller, code_hash: str, *, expires_at: datetime, until: datetime | None = None
) -> None:
    """Record a code by its SHA-256 (hex), which signs in as *caller*, and no longer than *until*.

    What expired a day ago is forgotten.
    """
    with database.atomic():
        SignInCode.delete().where(SignInCode.expires_at < now() - _KEPT).execute()
        SignInCode.create(
            hash=code_hash,
            expires_at=expires_at,
            name=caller.name,
            subject=caller.subject or caller.name,
            owner=caller.owner,
            grants=[[grant.role.value, grant.site] for grant in caller.grants],
            until=until,
        )
        audit.record(caller, "sign-in-code.create", kind="sign-in-code")


def redeem(nobody: Caller, code_hash: str) -> Came:
    """Use up the code that *nobody* in particular shows; return who he is then.

    Raises NotFound when it is unknown, used or expired: which, is not told.
    """
    with database.atomic():
        used = list(
            SignInCode.update(used_at=now())
            .where(
                (SignInCode.hash == code_hash)
                & SignInCode.used_at.is_null()
                & (SignInCode.expires_at > now())
                & (SignInCode.until.is_null() | (SignInCode.until > now()))
            )
            .returning(SignInCode)
            .execute()
        )
        if not used:
            raise NotFound(
                "this sign-in code is unknown, used or expired",
                field="/code",
                hint="Print a new one: sprout login-url",
            )
        [code] = used
        grants = tuple(Grant(Role(role), site) for role, site in code.grants)
        whose = {"name": code.name, "subject": code.subject, "owner": code.owner}
        caller = replace(nobody, **whose, grants=grants)
        audit.record(caller, "session.create", kind="session")
    return Came(caller, code.until)
