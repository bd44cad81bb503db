"""`python -m edge.live`: the events process; SIGTERM ends it, and its callers come again."""

import config.lean  # noqa: F401 - before structlog, which it keeps small

# isort: split

import argparse
import asyncio
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Final

import structlog

from config import logs
from config.settings import BadSettings, Settings
from edge.live import handover
from edge.live.desk import Desk
from edge.live.door import Door
from edge.live.ears import Ears
from edge.live.hall import Hall, Limits
from edge.live.hub import Hub
from models import database

SPARE_FILES: Final = 64
"""Descriptors for all but streams."""

log = structlog.get_logger()


def main() -> int:
    """Serve until SIGTERM; return the exit status.  With --check, say whether one serves."""
    parser = argparse.ArgumentParser(prog="sprout events")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    try:
        settings = Settings.load()
    except BadSettings as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    if asked.check:
        return check(settings.events_socket)
    if not settings.database_url.get_secret_value():
        sys.stderr.write("SPROUT_DATABASE_URL: want a postgresql:// URL, or use `sprout up`\n")
        return 2
    logs.configure(settings.log_level, settings.log_format, "events")
    asyncio.run(_serve(settings))
    return 0


def check(path: Path) -> int:
    """Return 0 if an events process answers at *path* and hears the database, else 1."""
    try:
        found = handover.figures(path)
    except handover.NotTaken as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    sys.stdout.write(f"{found['open']} streams open\n")
    return 0 if found["listening"] else 1


async def _serve(settings: Settings) -> None:
    url = settings.database_url.get_secret_value()
    database.configure(url, connections=1)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    desk = Desk()
    hall = Hall(Limits(_room(settings.events_streams), settings.events_streams_each), desk)
    hub = Hub(hall, desk)
    ears = Ears(url, loop, hub.heard, hub.again)
    door = Door(settings.events_socket, hall, hub, lambda: _figures(hall, ears))
    ears.start()
    door.open()
    log.info("events.started", socket=str(settings.events_socket))
    try:
        await _until(stop, hall, hub)
    finally:
        door.close()
        await hall.stop()
        desk.close()
    log.info("events.stopped")


async def _until(stop: asyncio.Event, hall: Hall, hub: Hub) -> None:
    """Return when *stop* is set; raise what ended a task that never ends by itself."""
    told = (teller.tell() for teller in hub.tellers.values())
    acts = (hub.tell_hints(), *told, hall.watch(), stop.wait())
    tasks = [asyncio.ensure_future(act) for act in acts]
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    for task in done:
        task.result()


def _figures(hall: Hall, ears: Ears) -> dict[str, Any]:
    return {
        "open": len(hall),
        "opened": hall.opened,
        "ended": dict(hall.ended),
        "listening": ears.listening,
    }


def _room(wanted: int) -> int:
    """Return how many streams there can be, of *wanted*; have the kernel allow as many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most - SPARE_FILES)


if __name__ == "__main__":
    sys.exit(main())
