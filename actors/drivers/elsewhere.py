"""Servers that an operator's records name, from which artifacts come: purpose `integration`.

Rule 1: public addresses and what SPROUT_OUTBOUND_ALLOW names, never a metadata service.
Rule 2: a redirect is followed a few times, judged anew each time, and never from https to http.
Rule 3: nothing is sent with a request: no credentials, no cookies, no proxy's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urljoin

from actors.drivers import bulk
from actors.drivers.bulk import Answer, Peer
from actors.drivers.errors import NotAllowed
from actors.drivers.outbound import MOST_REDIRECTS
from actors.drivers.reach import Rules, origin

_ANY: Final = "*/*"


class Elsewhere:
    """Any server that *rules* allow.  Safe to share between threads."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._tls = bulk.believing(rules)

    @contextmanager
    def exchange(self, method: str, url: str, *, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Send a request for *url*; the answer, of whoever gave it at last, is for the block.

        Raises NotAllowed and Unreachable.
        """
        for _ in range(MOST_REDIRECTS + 1):
            peer = Peer(origin(url).host, self._rules, self._tls)
            sent = {"Accept": _ANY, "User-Agent": "sprout", **headers}
            with bulk.exchange(peer, method, url, headers=sent) as answer:
                if answer.leads_to is None:
                    yield answer
                    return
                url = followed(url, answer.leads_to)
        raise NotAllowed(f"over {MOST_REDIRECTS} redirects")


def followed(url: str, target: str) -> str:
    """Return where *target*, seen from *url*, leads.  Raises NotAllowed."""
    whole = urljoin(url, target)
    before, after = origin(url), origin(whole)
    if (before.scheme, after.scheme) == ("https", "http"):
        raise NotAllowed(f"{before.host} leads from https to http")
    return whole
