"""Answers router solicitations on the rack's bridge, so that no machine waits 16 s for one.

The answer is the site's own (pxe_stack.router); this is a thread of it, in the rack's namespace.
"""

import socket
from threading import Thread

from deploy.rack import netns
from pxe_stack import router


class Advertiser:
    """A thread that answers on one link of one namespace until closed."""

    def __init__(self, namespace: str, link: str) -> None:
        """Raise OSError where the kernel has no IPv6."""
        self._socket = netns.inside(namespace, lambda: router.listen(link))
        self._wake, self._woken = socket.socketpair()
        answering = router.Responder(self._socket, wanted=lambda: True, keep=lambda _counts: None)
        self._thread = Thread(
            target=answering.run, args=(self._woken,), name="advertiser", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._wake.close()
        self._thread.join()
        self._woken.close()
        self._socket.close()
