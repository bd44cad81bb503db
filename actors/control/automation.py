"""Commands of other systems, taken from `sprout.automation` and done by the engine's own verbs."""

import threading
from collections.abc import Mapping
from typing import Any, Final

import structlog

from actors import broker
from actors.broker_contract import QueueError, Reason, Unworkable
from actors.broker_rabbitmq_automation import Asked, NotNow
from models import automation
from models.commands.automation import Grants, obey
from models.database import Unavailable, borrowed
from models.errors import Invalid

PAUSE_S: Final = 1.0

log = structlog.get_logger()


def run(broker_url: str, grants: Grants, stop: threading.Event) -> None:
    """Take commands until *stop*; survives the database's and the broker's restarts."""

    def answered(asked: Asked) -> Mapping[str, Any]:
        try:
            with borrowed():
                answer = obey(asked.user, asked.message_id, automation.read(asked.body), grants)
        except Unavailable as exc:
            raise NotNow(str(exc)) from exc
        except Invalid as exc:
            raise Unworkable(Reason.MALFORMED, str(exc)) from exc
        except Exception as exc:
            # Whatever one stranger found, the others are to be heard.
            log.exception("automation.failed", user=asked.user)
            raise Unworkable(Reason.REJECTED, type(exc).__name__) from exc
        log.info("automation.answered", user=asked.user, ok=answer["ok"], message=asked.message_id)
        return answer

    while not stop.is_set():
        try:
            broker.listen_to_automation(broker_url, answered, stop)
        except QueueError as exc:
            log.warning("automation.paused", why=str(exc))
            stop.wait(PAUSE_S)


def thread(broker_url: str, grants: Grants, stop: threading.Event) -> threading.Thread:
    """Return a started thread that takes commands."""
    made = threading.Thread(
        target=run, args=(broker_url, grants, stop), name="automation", daemon=True
    )
    made.start()
    return made
