"""`python -m actors.control`: one control process; any number of them may run."""

import importlib
import signal
import sys
import threading
import time
from typing import Final

import structlog

from actors import broker, queue_postgres
from actors.broker_contract import QueueError
from config import logs
from config.settings import BadSettings, Settings
from models import database
from models.messages import CONTROL_QUEUE, LEASE_QUEUE, REPORT_QUEUE
from models.postgres import Disconnected, Session

QUEUES: Final = (CONTROL_QUEUE, REPORT_QUEUE, LEASE_QUEUE)
RETRY_S: Final = 1.0

log = structlog.get_logger()


def main() -> int:
    """Work until SIGTERM; return the exit status."""
    try:
        settings = Settings.load()
    except BadSettings as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    logs.configure(settings.log_level, settings.log_format, "control")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database_url = settings.database_url.get_secret_value()
    broker_url = settings.broker.get_secret_value()
    broker_url = database_url if broker_url in {"", "postgres"} else broker_url
    database.configure(database_url, connections=settings.control_threads + 4)
    admin_url = settings.broker_admin_url.get_secret_value()
    _work(database_url, broker_url, admin_url, settings.control_threads, stop)
    return 0


def _work(
    database_url: str, broker_url: str, admin_url: str, threads: int, stop: threading.Event
) -> None:
    _prepare_queues(broker_url, stop)
    queues = broker.broker_for(broker_url, queues=QUEUES, consume=True)
    broker.install(queues)
    # Actors bind to the broker when they are imported: the one late import.
    importlib.import_module("actors.control.actors")
    relay = importlib.import_module("actors.control.relay").thread(database_url, broker_url, stop)
    reaper = importlib.import_module("actors.control.reaper").thread(stop)
    told = importlib.import_module("actors.control.events_relay").thread(
        database_url, broker_url, stop
    )
    dead = importlib.import_module("actors.control.morgue").thread(broker_url, stop)
    kept = importlib.import_module("actors.control.accounts").thread(broker_url, admin_url, stop)
    log.info("control.started", threads=threads)
    broker.run_worker(queues, threads=threads, queues=QUEUES, stop=stop, grace_s=5.0)
    for thread in (relay, reaper, told, dead, kept):
        thread.join(timeout=5.0)
    log.info("control.stopped")


def _prepare_queues(broker_url: str, stop: threading.Event) -> None:
    """Make the queues, waiting for a broker that is still starting."""
    while not stop.is_set():
        try:
            if broker_url.startswith("postgres"):
                with Session(broker_url, name="sprout-control") as session:
                    queue_postgres.create_schema(session)
            broker.declare(broker_url, QUEUES)
        except (QueueError, Disconnected, OSError) as exc:
            log.warning("broker.away", why=str(exc))
            time.sleep(RETRY_S)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
