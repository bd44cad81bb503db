"""One-time codes by which a person's browser is let in: kept hashed, good once, for a while."""

from datetime import datetime, timedelta
from typing import Final

from models import audit
from models.audit import Caller
from models.commands.moves import now
from models.database import database
from models.errors import NotFound
from models.tables import SignInCode

_KEPT: Final = timedelta(days=1)


def issue(caller: Caller, code_hash: str, *, expires_at: datetime) -> None:
    """Record a code by its SHA-256 (hex); what expired a day ago is forgotten."""
    with database.atomic():
        SignInCode.delete().where(SignInCode.expires_at < now() - _KEPT).execute()
        SignInCode.create(hash=code_hash, expires_at=expires_at)
        audit.record(caller, "sign-in-code.create", kind="sign-in-code")


def redeem(caller: Caller, code_hash: str) -> None:
    """Use up the code.  Raises NotFound when it is unknown, used or expired: which, is not told."""
    with database.atomic():
        used = (
            SignInCode.update(used_at=now())
            .where(
                (SignInCode.hash == code_hash)
                & SignInCode.used_at.is_null()
                & (SignInCode.expires_at > now())
            )
            .execute()
        )
        if not used:
            raise NotFound(
                "this sign-in code is unknown, used or expired",
                field="/code",
                hint="Print a new one: sprout login-url",
            )
        audit.record(caller, "session.create", kind="session")
