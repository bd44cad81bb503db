"""The hash of the root password of hosts, as this process was set to: put into answers alone.

It is no part of what a workflow is asked with: that is shown, and sent to agents with each task.
"""

from config.secrets import Secret

_chosen: list[Secret] = [Secret("")]


def choose(hashed: str) -> None:
    """Have answers that are made in this process hold *hashed*, of crypt(5); "": none."""
    _chosen[:] = [Secret(hashed)]


def chosen() -> Secret:
    """Return what was chosen."""
    return _chosen[0]
