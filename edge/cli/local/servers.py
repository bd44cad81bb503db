"""Which database and which broker a start uses: servers elsewhere, or what we bring along."""

from urllib.parse import urlsplit

from config.settings import Settings
from edge.cli.local import postgres, rabbitmq
from edge.cli.local.folder import Folder
from edge.cli.local.process import Service


def database(settings: Settings, folder: Folder) -> Service:
    """Return the database that SPROUT_DATABASE_URL names, else prepare our own.

    Raises:
        NoPostgres, NotMade, LostPassword: see postgres.prepare.
    """
    if asked := settings.database_url.get_secret_value():
        return Service((), asked, f"PostgreSQL at {_place(asked)}")
    return postgres.prepare(folder)


def broker(settings: Settings, folder: Folder) -> Service:
    """Return the broker that SPROUT_BROKER names, else RabbitMQ where installed, else the queue."""
    asked = settings.broker.get_secret_value()
    if asked == "postgres":
        return Service((), "postgres", "the embedded queue in PostgreSQL, as asked")
    if asked:
        return Service((), asked, f"RabbitMQ at {_place(asked)}")
    if (programs := rabbitmq.installed()) is None:
        why = "rabbitmq-server is not installed"
        return Service((), "postgres", f"the embedded queue in PostgreSQL ({why})")
    return rabbitmq.prepare(folder, programs)


def _place(url: str) -> str:
    """Return host and port of *url*: its user and password are not for a terminal."""
    return urlsplit(url).netloc.rpartition("@")[2]
