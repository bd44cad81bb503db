"""A TFTP client, which is tftpy's: the canary downloads by it what machines are told to start."""

import io
import logging
from typing import Final

import tftpy

from pxe_stack.canary_mark import TFTP_OPTION

BLKSIZE: Final = 1428
TRIES: Final = 2


class Unfetched(Exception):
    """The file did not come; says why."""


def fetch(server: str, port: int, name: str, timeout_s: int) -> bytes:
    """Return the file *name* of *server*, or raise Unfetched; *timeout_s* is of one packet."""
    logging.getLogger("tftpy").addHandler(logging.NullHandler())
    client = tftpy.TftpClient(server, port, {"blksize": BLKSIZE, TFTP_OPTION: "1"})
    came = io.BytesIO()
    try:
        client.download(name, came, timeout=timeout_s, retries=TRIES)
    except Exception as exc:  # tftpy raises all kinds, by what a server sends
        raise Unfetched(str(exc) or type(exc).__name__) from exc
    return came.getvalue()
