"""Kea, as Debian has it, on a machine of its own in a rack's network: it gives the addresses there.

The site tells what to boot beside it, as a proxy.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import requests

from tests.services import kea
from tests.services.neighbour import INTERFACE, neighbour

TOKEN = f"{kea.USER}:{kea.PASSWORD}"


@dataclass
class Leases:
    """Where its control agent is, asked as by curl: no code of the product is between."""

    url: str

    @property
    def settings(self):
        """Return what the edge and control are told of it."""
        return {
            "SPROUT_DHCP_PROVIDER": "external",
            "SPROUT_DHCP_EXTERNAL_KIND": "kea",
            "SPROUT_DHCP_EXTERNAL_URL": self.url,
            "SPROUT_DHCP_EXTERNAL_TOKEN": "env:KEA",
            "SPROUT_SECRET_KEA": TOKEN,
        }

    def reserved(self):
        """Return the reservations that are in force: addresses by MAC."""
        (subnet,) = self._asked("config-get")["Dhcp4"]["subnet4"]
        return {each["hw-address"]: each["ip-address"] for each in subnet["reservations"]}

    def _asked(self, command):
        body = {"command": command, "service": ["dhcp4"]}
        login = kea.USER, kea.PASSWORD
        answer = requests.post(self.url, json=body, auth=login, timeout=60)
        answer.raise_for_status()
        (told,) = answer.json()
        return told["arguments"]


@contextmanager
def leases(rack, folder, *, address, subnet):
    """Kea at *address* (with its prefix) of the network in the namespace *rack*."""
    with (
        neighbour(rack, address) as space,
        kea.running(folder, subnet, netns=space, interfaces=(INTERFACE,)) as made,
    ):
        yield Leases(made.url)
