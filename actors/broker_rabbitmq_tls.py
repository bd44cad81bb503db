"""TLS with RabbitMQ: every connection of a process shows the same certificate."""

from typing import TYPE_CHECKING, Any

import pika

if TYPE_CHECKING:
    from config.tls import Credentials  # cryptography is large: for processes that speak TLS

_SHOWN: "list[Credentials]" = []


def show(credentials: "Credentials | None") -> None:
    """Have connections by `amqps://` show *credentials*, and believe their authority alone.

    None: the system's authorities are believed, and nothing is shown.
    """
    _SHOWN[:] = [credentials] if credentials else []


def secured(parameters: Any) -> Any:
    """Return *parameters* of pika with what is shown.  Raises OSError when its files went bad.

    They are read for each connection, so that renewed ones are taken without a restart.
    """
    if parameters.ssl_options is not None:
        for credentials in _SHOWN:
            parameters.ssl_options = pika.SSLOptions(credentials.client(), parameters.host)
    return parameters
