"""Another system that an operator's record names, asked by HTTP: purpose `integration`.

Rule 1: public addresses and what SPROUT_OUTBOUND_ALLOW names, never a metadata service.
Rule 2: only what is read follows a redirect, each judged anew; who asks is told to one origin only.
Rule 3: time and size of an answer are bounded as a whole; what is kept of it holds no secret.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from actors.drivers import bulk
from actors.drivers.bulk import Peer
from actors.drivers.deadline import Deadline
from actors.drivers.elsewhere import followed
from actors.drivers.errors import NotAllowed, Unreachable
from actors.drivers.outbound import MOST_REDIRECTS
from actors.drivers.reach import Rules, origin
from config.secrets import Secret

MOST_WAIT_S: Final = 120.0
"""Longest that a partner's Retry-After is heeded."""

_HTTP_OK: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a partner answered, read whole."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    ms: float

    @property
    def taken(self) -> bool:
        return self.status in _HTTP_OK

    @property
    def passing(self) -> bool:
        """Whether the same may be answered otherwise later."""
        return self.status >= 500 or self.status in {408, 425, 429}

    def retry_after_s(self, now: float) -> float:
        """Return the seconds that it asks for (RFC 9110 section 10.2.3), bounded; 0 for none."""
        told = self.headers.get("retry-after", "")
        try:
            seconds = float(told) if told.isdecimal() else _until(told, now)
        except (ValueError, TypeError, OverflowError):
            return 0.0
        return min(max(0.0, seconds), MOST_WAIT_S)


def _until(date: str, now: float) -> float:
    return parsedate_to_datetime(date).timestamp() - now if date else 0.0


@dataclass(frozen=True, slots=True)
class Partner:
    """The other system, spoken to by *rules*, at most for *deadline*; *token* says who asks."""

    rules: Rules
    deadline: Deadline
    token: Secret | None = None

    def get(self, url: str, headers: Mapping[str, str], *, most_bytes: int) -> Reply:
        """Read *url*.  Raises NotAllowed and Unreachable."""
        first = origin(url)
        for _ in range(MOST_REDIRECTS + 1):
            known = self._who() if origin(url) == first else {}
            reply = self._asked("GET", url, {**headers, **known}, None, most_bytes)
            if not 300 <= reply.status < 400 or "location" not in reply.headers:
                return reply
            url = followed(url, reply.headers["location"])
        raise NotAllowed(f"over {MOST_REDIRECTS} redirects")

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Hand *body* over.  Raises NotAllowed, for a redirect too, and Unreachable."""
        reply = self._asked(method, url, {**headers, **self._who()}, body, self.rules.most_bytes)
        if 300 <= reply.status < 400:
            raise NotAllowed(f"{origin(url).host} redirects, and what is sent follows no redirect")
        return reply

    def _who(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token.reveal()}"}

    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, most: int
    ) -> Reply:
        ends = Deadline.after(min(self.rules.total_s, self.deadline.left))
        if ends.left <= 0:
            raise Unreachable("no time is left")
        peer = Peer(origin(url).host, self.rules, bulk.believing(self.rules))
        sent = {"Accept": "application/json", "User-Agent": "sprout", **headers}
        began = time.monotonic()
        with (
            _in_time(peer.name, ends),
            bulk.exchange(peer, method, url, headers=sent, body=body, whole_s=ends.left) as answer,
        ):
            whole = _read(answer, most)
            named = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, whole, named, (time.monotonic() - began) * 1000)


@contextmanager
def _in_time(peer: str, ends: Deadline) -> Iterator[None]:
    """Call *peer* late once time is over: a line that is hung up on ends, is reset, or breaks off.

    That is so before its answer has begun as well as in the middle of it.
    """
    broken: Unreachable | None = None
    try:
        yield
    except Unreachable as exc:
        broken = exc
    if ends.left <= 0:
        raise Unreachable(f"{peer} gave no whole answer in time") from broken
    if broken is not None:
        raise broken


def _read(answer: bulk.Answer, most: int) -> bytes:
    whole, length = bytearray(), answer.length
    while piece := answer.read():
        whole += piece
        if len(whole) > most:
            raise NotAllowed(f"{answer.peer} sends over {most} bytes")
    if length is not None and len(whole) < length:
        raise Unreachable(f"the answer of {answer.peer} broke off")
    return bytes(whole)
