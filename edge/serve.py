"""`python -m edge.serve`: the edge under gunicorn, threads in one process unless told otherwise.

The master stays small: the application is imported by the workers alone.
"""

import config.lean  # noqa: F401 - before structlog, which it keeps small

# isort: split

import gc
import logging
import os
import sys
from collections.abc import Callable, Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gunicorn import glogging
from gunicorn.app.base import BaseApplication

from config import logs
from config.policy import BadFile
from config.settings import BadSettings, Settings
from config.values import is_loopback

if TYPE_CHECKING:
    from flask import Flask

    from edge.app import EdgeConfig
    from edge.doors import Client

GRACE_S: Final = 3
"""Seconds for requests to end on SIGTERM."""


class Quiet(glogging.Logger):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's own lines, through our handlers; requests are logged by the edge."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and levels to config.logs."""
        self.error_log.setLevel(logging.NOTSET)
        self.error_log.propagate = True

    def access(self, *_: object) -> None:
        """Say nothing."""

    def reopen_files(self) -> None:
        """There are none."""


class Edge(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """The edge as gunicorn starts it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults; its fast parser is taken where it is there."""
        for name, value in _options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> "Flask":
        """Build the application, in a worker."""
        from edge.app import create_app  # noqa: PLC0415 - the master goes without

        app = create_app(configured(self._settings))
        gc.collect()  # what building it left behind is not kept beside it
        return app


def configured(settings: Settings) -> "EdgeConfig":
    """Return what the application is told, and point its connections to the database."""
    from edge.app import EdgeConfig  # noqa: PLC0415 - as above
    from models import database  # noqa: PLC0415 - the same
    from models.commands import (  # noqa: PLC0415 - the same
        policy_source,
        providing,
        root_password,
        server_types,
    )
    from models.steps import Trait  # noqa: PLC0415 - the same

    database_url = settings.database_url.get_secret_value()
    database.configure(database_url, connections=settings.database_pool)
    policy_source.follow_file(settings.policy_file)
    server_types.follow_file(settings.server_types_file)
    root_password.choose(settings.proxmox_root_password_hash.get_secret_value())
    externals = [each.capability for each in settings.externals()]
    hosts = map(Trait, settings.of_hosts())
    providing.choose(externals, settings.provisioning_domain, hosts=hosts)
    return EdgeConfig(
        public_url=settings.api_url,
        allowed_hosts=settings.allowed_hosts,
        admin_token_hash=settings.admin_token_hash,
        client=_client(settings),
        admin_password_hash=settings.admin_password_hash,
        session_key=settings.session_key.get_secret_value(),
        broker=_broker(settings),
        accounts=_accounts(settings),
        database_url=database_url,
        events_socket=settings.events_socket,
        blob_dir=settings.blob_dir,
        artifact_dir=settings.artifact_dir,
        agents_url=_agents_url(settings),
        trust_domain=settings.workload_trust_domain,
        site=settings.site_id,
    )


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    try:
        settings = Settings.load()
        _check_policy(settings)
    except (BadSettings, BadFile) as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    return run(settings, "edge", lambda: Edge(settings).run())


def _check_policy(settings: Settings) -> None:
    """Refuse to start with a policy file that is bad.  Raises BadFile."""
    if settings.policy_file is not None:
        from models.commands import policy_source  # noqa: PLC0415 - the master goes without, else

        policy_source.check(settings.policy_file)


def run(settings: Settings, name: str, serve: Callable[[], None]) -> int:
    """Call *serve* with log and metrics set up for the process *name*; return the exit status."""
    if not settings.database_url.get_secret_value():
        sys.stderr.write("SPROUT_DATABASE_URL: want a postgresql:// URL, or use `sprout up`\n")
        return 2
    if not _known(settings) and not is_loopback(f"http://{settings.bind}"):
        sys.stderr.write(
            "SPROUT_BIND: want a loopback address until there is an admin: set SPROUT_OIDC_ISSUER, "
            "SPROUT_ADMIN_PASSWORD_HASH or SPROUT_ADMIN_TOKEN_HASH\n"
        )
        return 2
    logs.configure(settings.log_level, settings.log_format, name)
    logs.never_write(
        [
            settings.session_key.get_secret_value(),
            settings.admin_token_hash,
            settings.admin_password_hash,
            settings.oidc_client_secret.get_secret_value(),
            settings.proxmox_root_password_hash.get_secret_value(),
        ]
    )
    with TemporaryDirectory(prefix="sprout-metrics-") as folder:
        if settings.edge_workers > 1:
            # Read when prometheus_client is imported: before the application, in each worker.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        serve()
    return 0


def _client(settings: Settings) -> "Client | None":
    """Return the edge as its issuer knows it, None without one."""
    from edge.doors import Client  # noqa: PLC0415 - see `load`

    if not settings.oidc_issuer:
        return None
    return Client(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        secret=settings.oidc_client_secret.get_secret_value(),
        audience=settings.oidc_audience,
        scopes=settings.oidc_scopes,
        cli_client_id=settings.oidc_cli_client_id,
    )


def _known(settings: Settings) -> bool:
    """Whether anybody can prove to be an operator, so that others can be kept out."""
    ways = (settings.oidc_issuer, settings.admin_password_hash, settings.admin_token_hash)
    return any(ways)


def _broker(settings: Settings) -> str:
    """Return the URL that sites reach the broker by; never with the account of control."""
    asked = settings.broker.get_secret_value()
    shared = settings.site_broker.get_secret_value()
    if asked in {"", "postgres"}:
        return shared or settings.database_url.get_secret_value()
    return shared or (asked if _accounts(settings) else "")


def _agents_url(settings: Settings) -> str:
    """Return where agents reach their own listener; nothing where there is none."""
    if not settings.tls_enabled:
        return ""
    port = settings.agent_bind.rpartition(":")[2]
    host = urlsplit(settings.api_url).hostname or ""
    return settings.agent_url or f"https://{f'[{host}]' if ':' in host else host}:{port}"


def _accounts(settings: Settings) -> bool:
    """Whether each site has an account of its own at the broker, which control makes."""
    return settings.broker.get_secret_value() in {"", "postgres"} or bool(
        settings.broker_admin_url.get_secret_value()
    )


def _options(settings: Settings) -> Mapping[str, Any]:
    return {
        "bind": settings.bind,
        "workers": settings.edge_workers,
        "worker_class": "edge.gate.Threads",
        "threads": settings.edge_threads,
        "graceful_timeout": GRACE_S,
        "keepalive": 30,
        "control_socket_disable": True,
        "logger_class": Quiet,
        "proc_name": "sprout-edge",
        "child_exit": _buried,
    }


def _buried(server: object, worker: Any) -> None:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess  # noqa: PLC0415 - see `load`

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call] # untyped there


if __name__ == "__main__":
    sys.exit(main())
