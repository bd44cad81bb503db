"""What the steps after the core are told, and the environment of our own processes."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from config.settings import Settings
from edge.cli.local.folder import Folder
from edge.cli.local.process import Service

_ROOT: Final = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What runs now, and how to reach it.

    Attributes:
        env: the environment that our processes are started with; it holds secrets.
        broker: what the broker is, in words.
    """

    env: Mapping[str, str] = field(repr=False)
    api_url: str
    admin_token: str = field(repr=False)
    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    broker: str


def describe(settings: Settings, folder: Folder, database: Service, broker: Service) -> Core:
    """Return the core that *settings* and both servers make, with the secrets of *folder*."""
    # With a hash of the operator's own there is another admin's token, which we do not know.
    ours = not settings.admin_token_hash
    token = folder.secret("admin_token") if ours else settings.api_token.get_secret_value()
    api_url = api_reached_at(settings)
    given = {
        "SPROUT_DATA_DIR": str(settings.data_dir),
        "SPROUT_API_URL": api_url,
        "SPROUT_DATABASE_URL": database.url,
        "SPROUT_BROKER": broker.url,
        **({"SPROUT_SITE_BROKER": broker.for_sites} if broker.for_sites else {}),
        "SPROUT_ADMIN_TOKEN_HASH": _sha256(token) if ours else settings.admin_token_hash,
        "SPROUT_SESSION_KEY": _session_key(settings, folder),
    }
    return Core(
        env={**_inherited(), **given},
        api_url=api_url,
        admin_token=token,
        database_url=database.url,
        broker_url=broker.url,
        broker=broker.title,
    )


def api_reached_at(settings: Settings) -> str:
    """Return the edge's URL: what was said, else where the edge is told to listen."""
    said = "api_url" in settings.model_fields_set
    return settings.api_url if said else f"http://{reached_at(settings.bind)}"


def reached_at(bind: str) -> str:
    """Return where we reach what listens on *bind* (address:port)."""
    host, _, port = bind.rpartition(":")
    return f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared only


def _session_key(settings: Settings, folder: Folder) -> str:
    return settings.session_key.get_secret_value() or folder.secret("session_key")


def _inherited() -> dict[str, str]:
    """Return our environment, changed so that the modules are ours whatever folder we are in."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    # Two arenas: a thread's own would keep 0.5 MB and more each, for twenty and more threads.
    ours = {"PYTHONSAFEPATH": "1", "PYTHONPATH": path, "MALLOC_ARENA_MAX": "2"}
    return {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"} | ours


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
