"""What boot HTTP answers, by TFTP: for a GRUB, which has its script and its kernel from where it
came from itself, and may speak no HTTP.

The same contract answers (see boot): same tokens, same windows, same rows.
"""

import re
from collections import OrderedDict
from http import HTTPStatus
from typing import Final

from pxe_stack import boot
from pxe_stack.boot_sources import Sources
from pxe_stack.directory import StoredFile
from pxe_stack.files import Changed, opened
from pxe_stack.host_documents import OVERLAY
from pxe_stack.http_answer import FilePart
from pxe_stack.http_message import Request
from pxe_stack.loaders import Loader
from pxe_stack.scripts import GRUB

LARGEST: Final = 128 * 1024 * 1024
"""Bytes of the largest artifact: more than a kernel and its first file system have by TFTP."""
MOST_KEPT: Final = 256 * 1024 * 1024
"""Bytes of artifacts that are kept at hand; whichever was asked for least lately goes."""

_TOKEN: Final = re.compile(r"(boot/[^/]*/)[^/]*")
_OF_A_RUN: Final = frozenset({GRUB.script, OVERLAY, "trouble"})


def masked(name: str) -> str:
    """Return the *name* of a file without the token in it."""
    return _TOKEN.sub(r"\1***", name)


class Contract:
    """Files that are made for who asks, and artifacts, by the names that GRUB has for them."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._kept: OrderedDict[tuple[str, str], Loader] = OrderedDict()

    def find(self, asked: str, client: str) -> Loader | None:
        """Return what *client* is answered that asks for *asked*, or None.  Raises OSError."""
        path = asked.lstrip("/")
        first, _, rest = path.partition("/")
        if first == "artifacts":
            return self._artifact(rest)
        if first == "grub" or (first == "boot" and _name(path) in _OF_A_RUN):
            return self._answered(path, client)
        return None

    def _answered(self, path: str, client: str) -> Loader | None:
        path, _, query = path.partition("?")
        request = Request(method="GET", path=f"/{path}", query=query, client=client)
        answer = boot.answer(self._sources, request)
        if answer.status is not HTTPStatus.OK or isinstance(answer.body, FilePart):
            return None
        return Loader(masked(path), answer.body)

    def _artifact(self, path: str) -> Loader | None:
        stored = self._sources.directory.file(path)
        if stored is None or stored.size > LARGEST:
            return None
        key = (path, stored.sha256)
        if key not in self._kept:
            self._kept[key] = Loader(f"artifacts/{path}", _read(stored))
        self._kept.move_to_end(key)
        while sum(len(each.data) for each in self._kept.values()) > MOST_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def _name(path: str) -> str:
    return path.partition("?")[0].rpartition("/")[2]


def _read(stored: StoredFile) -> bytes:
    try:
        with opened(stored) as file:
            return file.readall()
    except Changed as exc:
        raise OSError(str(exc)) from exc
