"""What a run of Proxmox VE's installer is served besides documents, under the token of its `WORDS`.

proxmox.iso     the stored ISO, with the run's own words laid over its slot
pxe-init.cpio   for firmware that cannot carry that ISO: an archive beside the installer's initrd
                that fetches it from Linux
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import structlog

from models import bootplan
from models.bootplan import Document
from pxe_stack import boot_files, files, iso_slot, overlay
from pxe_stack.boot_sources import Sources
from pxe_stack.directory import Known, StoredFile
from pxe_stack.host_documents import ISO, OVERLAY, WORDS
from pxe_stack.http_answer import Answer, FilePart, plain, text
from pxe_stack.http_message import Request

__all__ = ["FILES", "ISO", "OVERLAY", "WORDS", "is_large"]


log = structlog.get_logger()


def is_large(path: str) -> bool:
    """Whether *path* is that of a run's ISO, which takes long to send."""
    return path.startswith("/boot/") and path.endswith(f"/{ISO}")


def _iso(sources: Sources, request: Request, known: Known, words: Document) -> Answer:
    """The run's ISO: bytes of the stored one by sendfile, but for its slot."""
    stored = _stored(sources, known)
    if stored is None:
        return plain(HTTPStatus.NOT_FOUND)
    filled = bootplan.fill(words.body, bootplan.slot_values(known.plan, sources.key))
    try:
        made = _laid(stored, request, iso_slot.slot(filled))
    except (files.Changed, iso_slot.NoSlot, ValueError) as exc:
        log.warning("iso.unservable", path=stored.url_path, why=str(exc))
        return text("the ISO cannot be served\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
    if not isinstance(made.body, FilePart):
        return made
    return boot_files.told(sources, request, stored, made)


def _laid(stored: StoredFile, request: Request, words: bytes) -> Answer:
    try:
        return files.with_slot(stored, request, words)
    except iso_slot.Foreign:
        return files.answer(stored, request)


def _overlay(sources: Sources, request: Request, known: Known, words: Document) -> Answer:
    """The archive whose /pxe-init fetches the run's ISO to where the installer's init looks."""
    stored = _stored(sources, known)
    if stored is None:
        return plain(HTTPStatus.NOT_FOUND)
    url = bootplan.url(known.plan, sources.key, words.access, ISO)
    body = overlay.archive(url, size=stored.size, mac=known.plan.mac)
    return text(body, media_type="application/octet-stream", request=request)


def _stored(sources: Sources, known: Known) -> StoredFile | None:
    file = known.plan.file("iso")
    return None if file is None else sources.directory.file(file.path)


FILES: Final[Mapping[str, Callable[[Sources, Request, Known, Document], Answer]]] = (
    MappingProxyType({ISO: _iso, OVERLAY: _overlay})
)
"""Names below a run's token that are no documents of its plan."""
