"""The edge as a site calls it: purpose `control`, which reaches the enrolment's edge and no other.

A URL that leads to another host, port or scheme is not followed, nor is a redirect.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urljoin

from actors.drivers import bulk, reach
from actors.drivers.bulk import Answer, Peer, Tls
from actors.drivers.errors import NotAllowed
from actors.drivers.reach import Rules, origin

__all__ = ["Answer", "Edge", "Tls"]

NAME: Final = "the edge"


class Edge:
    """The edge at *url*.  Safe to share between threads: each exchange is a connection."""

    def __init__(self, url: str, tls: Tls | None = None, rules: Rules | None = None) -> None:
        self._url = url
        self._peer = Peer(NAME, rules or reach.control(), tls or ssl.create_default_context)

    @contextmanager
    def exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[Answer]:
        """Send a request for *url*, which may begin with its path; the answer is for the block.

        Raises NotAllowed and Unreachable; neither repeats the query, which bears a right.
        """
        whole = urljoin(f"{self._url}/", url)
        there = origin(whole)
        if there != origin(self._url):
            raise NotAllowed(f"the edge is {self._url}, and the URL leads to {there.host}")
        with bulk.exchange(self._peer, method, whole, headers=headers, body=body) as answer:
            if answer.leads_to is not None:
                raise NotAllowed("the edge redirects, and is not followed")
            yield answer
