"""A machine of the rack, looked at past the product: its lid, its BMC, its disk and its console."""

from dataclasses import dataclass
from pathlib import Path

import requests

LINES = 512 << 10
"""Bytes of a disk's beginning that are looked at."""


class Bmc:
    """One BMC, asked as by curl: no code of the product is between."""

    def __init__(self, described):
        self._base = described["address"]
        self._system = described["system"]
        password = Path(described["password_file"]).read_text().strip()
        self.login = described["username"], password

    def get(self, path=""):
        answer = requests.get(self._base + (path or self._system), auth=self.login, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def reset(self, how):
        """Switch the machine past the product, as by the button at its front."""
        path = f"{self._base}{self._system}/Actions/ComputerSystem.Reset"
        body = {"ResetType": how}
        requests.post(path, json=body, auth=self.login, timeout=60).raise_for_status()

    @property
    def power(self):
        return self.get()["PowerState"]

    @property
    def boot(self):
        return self.get()["Boot"]

    def media(self):
        """Return the images that are inserted."""
        manager = self.get(self.get()["Links"]["ManagedBy"][0]["@odata.id"])
        drives = self.get(manager["VirtualMedia"]["@odata.id"])["Members"]
        found = [self.get(each["@odata.id"]) for each in drives]
        return [each["Image"] for each in found if each.get("Inserted")]


@dataclass
class Unit:
    """A machine of the rack: what is written on its lid."""

    described: dict
    state: Path

    @property
    def bmc(self):
        return Bmc(self.described["bmc"])

    @property
    def secret(self):
        """Return the name under which the site finds the password of its BMC."""
        return f"BMC_{self.described['name'].upper()}"

    @property
    def entered(self):
        """Return its BMC as the command line takes it."""
        board = self.described["bmc"]
        named = {"address": board["address"], "username": board["username"]}
        told = {**named, "secretRef": f"env:{self.secret}", "system": board["system"]}
        return ",".join(f"{name}={value}" for name, value in told.items())

    @property
    def mac(self):
        return self.described["mac"]

    def disk(self):
        """Return the first bytes of its disk."""
        with (self.state / self.described["name"] / "disk.raw").open("rb") as disk:
            return disk.read(LINES)

    def console(self):
        """Return what came out of its serial port."""
        return Path(self.described["serial_log"]).read_text(errors="replace")
