"""Accounts at RabbitMQ, by its management HTTP API: made or corrected, however often.

https://www.rabbitmq.com/docs/http-api-reference
"""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests

from actors.drivers import outbound
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Refused, Unreachable
from actors.drivers.reach import Rules

RULES: Final = Rules(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")), total_s=10.0)
"""The operator names the host; metadata services are refused all the same."""

_BUSY: Final = 500


class Accounts:
    """The accounts of one virtual host; *url* is http(s)://user:password@host:port."""

    def __init__(self, url: str, vhost: str) -> None:
        parts = urlsplit(url)
        self._base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], path=""))
        self._auth = (unquote(parts.username or ""), unquote(parts.password or ""))
        self._vhost = vhost

    def ensure(self, name: str, password: str, permissions: Mapping[str, Any]) -> None:
        """Make the account, or make it what it should be.  Raises DriverError."""
        user = quote(name, safe="")
        self._put(f"/api/users/{user}", {"password": password, "tags": ""})
        self._put(f"/api/permissions/{quote(self._vhost, safe='')}/{user}", dict(permissions))

    def _put(self, path: str, body: Mapping[str, Any]) -> None:
        caller = outbound.Caller(self._base, RULES, Deadline.after(10.0), seen=lambda _: None)
        caller.session.auth = self._auth
        try:
            answer = caller.request(
                "PUT", f"{self._base}{path}", json=dict(body), headers={}, verify=True
            )
        except requests.RequestException as exc:
            raise Unreachable(f"RabbitMQ's management API: {type(exc).__name__}") from exc
        finally:
            caller.close()
        if answer.status_code >= _BUSY:
            raise Unreachable(f"RabbitMQ's management API answered {answer.status_code}")
        if not answer.ok:
            raise Refused(f"RabbitMQ's management API refused: {answer.status_code}")
