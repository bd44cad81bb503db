"""The accounts of sites at the broker, kept as they should be: at start, and when asked.

On RabbitMQ by its management API, where SPROUT_BROKER_ADMIN_URL names it; on the embedded queue as
roles that see its tables only.
"""

import threading
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog

from actors import queue_postgres
from actors.broker_contract import QueueError
from actors.drivers.errors import DriverError
from actors.drivers.rabbitmq_admin import Accounts
from models import accounts
from models.commands import agents
from models.database import Unavailable, borrowed
from models.errors import NotFound
from models.messages import agent_queues
from models.postgres import Disconnected, Session
from models.postgres import Refused as DatabaseRefused

PAUSE_S: Final = 5.0
LOOK_S: Final = 2.0
"""Between looks for sites whose account was never seen to be right."""

log = structlog.get_logger()

_AWAY: Final = (DriverError, Unavailable, QueueError, Disconnected, DatabaseRefused)


class Keeper:
    """Makes accounts; *admin_url* is RabbitMQ's management API, empty where there is none."""

    def __init__(self, broker_url: str, admin_url: str) -> None:
        self._broker_url = broker_url
        self._postgres = broker_url.startswith("postgres")
        vhost = unquote(urlsplit(broker_url).path[1:]) or "/"
        self._accounts = Accounts(admin_url, vhost) if admin_url else None
        self._made: set[UUID] = set()

    @property
    def able(self) -> bool:
        """Whether there is anything that accounts can be made with."""
        return self._postgres or self._accounts is not None

    def ensure(self, site: UUID) -> None:
        """Make the site's account what it should be.  Raises what is in `_AWAY`, or NotFound."""
        with borrowed():
            key = agents.signing_key(site)
        name, password = accounts.name(site), accounts.password(key)
        if self._accounts is not None:
            self._accounts.ensure(name, password, accounts.permissions(site))
        elif self._postgres:
            with Session(self._broker_url, name="sprout-accounts") as session:
                queue_postgres.ensure_site_role(
                    session, name, password, reads=agent_queues(site), writes=accounts.WRITES
                )
        self._made.add(site)
        log.info("account.made", site=str(site), account=name)

    def run(self, stop: threading.Event) -> None:
        """Make what is missing until *stop*: all sites' at first, new ones' as they come."""
        while self.able and not stop.is_set():
            pause = LOOK_S
            try:
                with borrowed():
                    sites = agents.enrolled()
                for site in sites:
                    if site not in self._made:
                        self.ensure(site)
            except NotFound:
                continue
            except _AWAY as exc:
                log.warning("accounts.paused", why=str(exc))
                pause = PAUSE_S
            stop.wait(pause)


def thread(broker_url: str, admin_url: str, stop: threading.Event) -> threading.Thread:
    """Return a started thread that keeps accounts."""
    keeper = Keeper(broker_url, admin_url)
    made = threading.Thread(target=keeper.run, args=(stop,), name="accounts", daemon=True)
    made.start()
    return made
