"""Who may be told what of a run, and what is written down when it is told.

A run's documents are for its machine alone: by its token, at its address, and in their window.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import bootplan
from models.bootplan import SLOT, Access, BootPlan, Document
from models.errors import Invalid
from models.observations import Seen
from pxe_stack.boot_sources import Sources, note
from pxe_stack.directory import Known
from pxe_stack.http_answer import Answer, text
from pxe_stack.http_message import Request

_SERVED: Final = {Access.SCRIPT: Seen.SCRIPT_SERVED, Access.SEED: Seen.SEED_SERVED}


def known_by_run(sources: Sources, run: str) -> Known | None:
    """Return the machine whose current run is the one that *run* names."""
    try:
        return sources.directory.by_run(UUID(run))
    except ValueError:
        return None


def stranger(
    sources: Sources, request: Request, known: Known | None, access: Access, token: str
) -> str:
    """Return why a request is not from whom its URL was made for, or nothing when it is."""
    if known is None or known.plan.run is None:
        return "no-such-run"
    if not same(token, right_token(sources, known.plan.run, access)):
        return "wrong-token"
    if not known.may_be_at(request.client):
        return "wrong-address"
    return "" if known.opens(access) else "window-closed"


def bearer(plan: BootPlan, key: bytes) -> str:
    """Return what the installer of *plan*'s run says that it is, as name:secret.

    Raises Invalid where the plan has no run.
    """
    if plan.run is None:
        raise Invalid("a plan without a run has no bearer", field="run")
    return f"{plan.run}:{bootplan.token(key, plan.run, Access.SEED)}"


def is_late(sources: Sources, run: str, token: str) -> bool:
    """Whether the token is one that this site made, for a run that is over."""
    try:
        return same(token, right_token(sources, UUID(run), Access.CALLBACK))
    except ValueError:
        return False


def right_token(sources: Sources, run: UUID, access: Access) -> str:
    """Return the token of this site that opens documents of the class *access* of *run*."""
    return bootplan.token(sources.key, run, access)


def same(token: str, right: str) -> bool:
    """Whether *token* is the *right* one, in a time that tells nothing of it."""
    return hmac.compare_digest(right.encode(), token.encode())


def filled(  # what is served to whom, and how it is written down
    sources: Sources,
    request: Request,
    known: Known,
    found: Document,
    *,
    path: str,
    begun: float,
    kind: Seen | None = None,
    told: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Return the document with its slots filled, once it is written down that it is served.

    *begun* is when its request came, by `time.perf_counter`; *kind* what that is for the machine,
    where it is not by the document's class, and *told* what is written down besides.
    """
    body = bootplan.fill(found.body, bootplan.slot_values(known.plan, sources.key)).encode()
    made = text(body, media_type=found.media_type, request=request)
    if request.method != "HEAD":
        data = {
            "path": path,
            "status": made.status.value,
            "ms": round((time.perf_counter() - begun) * 1000, 2),
            **_receipt(sources, found, body),
            **told,
        }
        note(sources, request, kind or _SERVED[found.access], known, data)
    return made


def _receipt(sources: Sources, document: Document, body: bytes) -> dict[str, Any]:
    """What proves later which bytes were served, without keeping them."""
    return {
        "document": document.name,
        "receipt": document.receipt,
        "slots": sorted(set(SLOT.findall(document.body))),
        "bytes": len(body),
        "keyed": hmac.new(sources.key, body, hashlib.sha256).hexdigest(),
    }
