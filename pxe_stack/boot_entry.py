"""The tokenless entries: by its MAC, a machine that DHCP has just seen is led to its script.

One for each loader that reads scripts; whoever else asks gets a constant one.
"""

import re
from http import HTTPStatus
from typing import Final

from models import bootplan, names
from models.bootplan import Access
from models.errors import Invalid
from models.observations import Seen
from pxe_stack import forms, scripts
from pxe_stack.boot_sources import Sources, note, strange
from pxe_stack.canary_mark import is_canary
from pxe_stack.directory import Known
from pxe_stack.http_answer import Answer, plain, text
from pxe_stack.http_message import Request
from pxe_stack.scripts import Dialect

RECENT_S: Final = 300.0
"""How long after DHCP saw a machine the tokenless entry leads to its script."""
TROUBLE: Final = "trouble"
"""What a script that gives up fetches, to say why."""
GRUB_FILE: Final = "grub.cfg"
BY_MAC: Final = f"{GRUB_FILE}-01-"
"""What GRUB asks for in its folder before grub.cfg (grub-core/net/net.c): hardware type 1, MAC."""

_ERRNO: Final = re.compile(r"0x([0-9a-f]{8})")


def of_ipxe(sources: Sources, request: Request, rest: str) -> Answer:
    """Answer what is below /ipxe/: a MAC, or the trouble that it has."""
    mac, _, more = rest.partition("/")
    if more:
        return _trouble(sources, request, mac, more)
    return _entry(sources, request, mac, scripts.IPXE)


def of_grub(sources: Sources, request: Request, rest: str) -> Answer:
    """Answer what is below /grub/, in whichever folder there GRUB looks for its configuration.

    Its modules, and lists of them, are not there: a signed GRUB has all that it may load inside.
    """
    folder, _, name = rest.rpartition("/")
    if name == GRUB_FILE:
        found = sources.loaders.find(GRUB_FILE)
        return plain(HTTPStatus.NOT_FOUND) if found is None else text(found.data, request=request)
    if name.startswith(BY_MAC):
        return _entry(sources, request, name.removeprefix(BY_MAC), scripts.GRUB)
    return _trouble(sources, request, folder, name)


def tell_trouble(sources: Sources, request: Request, known: Known, kind: Seen) -> None:
    """Write down what a boot script says of its end; a flood of it is counted.

    Under the run's token it is a BOOT_FAILED, and ends the run as a callback does: not every iPXE
    can post, and no GRUB.  At the entry, which has no token, it is words, and ends nothing.
    """
    told = forms.read(request.query.encode()[: forms.LARGEST])
    data = {name: told[name] for name in ("stage", "errno", "try", "platform") if name in told}
    stage, errno = data.get("stage", "script"), data.get("errno", "no reason given")
    who = "GRUB" if told.get("loader") == "grub" else "iPXE"
    data["reason"] = f"{who} could not get past its {stage}: {errno}"
    if code := _ERRNO.fullmatch(errno):
        data["see"] = f"https://ipxe.org/{code[1]}"
        data["reason"] += f", see {data['see']}"
    note(sources, request, kind, known, data)


def was_seen(sources: Sources, known: Known) -> bool:
    """Whether the machine has its address by this site's DHCP, a moment ago, where that is on."""
    if not sources.dhcp_on:
        return True
    at = sources.journal.acked_at(known.plan.mac)
    return at is not None and 0 <= sources.clock() - at <= RECENT_S


def _entry(sources: Sources, request: Request, mac: str, dialect: Dialect) -> Answer:
    mac, known = _named(sources, mac)
    if known is None:
        if not is_canary(mac):
            strange(sources, request, "unknown-mac", None, path=f"/{dialect.entry}/{mac[:64]}")
        return text(dialect.unknown())
    entry = f"/{dialect.entry}/{known.plan.mac}"
    here = _is_here(sources, request, known)
    if here and known.opens(Access.SCRIPT) and was_seen(sources, known):
        url = bootplan.url(known.plan, sources.key, Access.SCRIPT, dialect.script)
        return text(dialect.chain(url, f"{known.plan.boot_base_url}{entry}/{TROUBLE}"))
    note(sources, request, Seen.LOCAL_BOOT_SERVED, known, {"path": entry})
    return text(dialect.local(sources.boot_url))


def _is_here(sources: Sources, request: Request, known: Known) -> bool:
    """Whether it is the machine that asks, as far as can be known here.

    Where this site hears no DHCP, and another server gives the addresses, nobody tells which one
    the machine has: any of its network may be it.
    """
    is_here = known.is_at if sources.dhcp_on else known.may_be_at
    return is_here(request.client)


def _trouble(sources: Sources, request: Request, mac: str, name: str) -> Answer:
    if name != TROUBLE:
        return plain(HTTPStatus.NOT_FOUND)
    _, known = _named(sources, mac)
    if known is None or not _is_here(sources, request, known):
        strange(sources, request, "trouble-of-a-stranger", known, path="/ipxe/*/trouble")
    else:
        tell_trouble(sources, request, known, Seen.BOOT_TROUBLE)
    return text("ok\n")


def _named(sources: Sources, text: str) -> tuple[str, Known | None]:
    """Return the MAC that is meant, and what is known of its machine."""
    try:
        mac = names.mac(text, field="mac")
    except Invalid:
        return text, None
    return mac, sources.directory.by_mac(mac)
