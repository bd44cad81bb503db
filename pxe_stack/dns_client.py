"""A resolver of one question to one server, for the canary; dnslib writes it and reads the answer.

No search list, no cache, no second server: what is not said is a failure, and says why.
"""

import secrets
import socket
from typing import Final

from dnslib import QTYPE, RCODE, DNSError, DNSRecord

from pxe_stack import sockets
from pxe_stack.packets import ANY

TIMEOUT_S: Final = 1.0
TRIES: Final = 2
"""A packet may be lost; what is lost twice in a second is not served."""


class Unresolved(Exception):
    """The server did not answer the question; says what it did."""


def ask(server: str, port: int, name: str, kind: str) -> tuple[str, ...]:
    """Return the data of *kind* (such as "A") that the authoritative *server* has for *name*.

    Empty: the name is there, and has none.  Raises Unresolved.
    """
    question = DNSRecord.question(name, kind)
    question.header.id = secrets.randbits(16)
    question.header.rd = 0
    reply = _exchange(server, port, question)
    if reply.header.rcode:
        raise Unresolved(f"{server} answers {RCODE.get(reply.header.rcode)} for {kind} of {name}")
    if not reply.header.aa:
        raise Unresolved(f"{server} is not authoritative for {name}")
    return tuple(str(each.rdata) for each in reply.rr if QTYPE.get(each.rtype) == kind)


def _exchange(server: str, port: int, question: DNSRecord) -> DNSRecord:
    why = "no answer"
    with sockets.udp(ANY, 0) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect((server, port))
        for _ in range(TRIES):
            try:
                sock.send(question.pack())
                return _answer(sock, question.header.id)
            except TimeoutError:
                continue
            except OSError as exc:  # nobody listens there: ICMP says so
                why = exc.strerror or str(exc)
    raise Unresolved(f"{server}:{port}: {why}")


def _answer(sock: socket.socket, number: int) -> DNSRecord:
    """Return the answer with *number*; what else comes is passed over."""
    while True:
        try:
            reply = DNSRecord.parse(sock.recv(4096))
        except (DNSError, ValueError, IndexError):
            continue
        if reply.header.id == number and reply.header.qr:
            return reply
