"""Installers of distributions, played: what Ubuntu's and Debian's fetch, refuse and report.

Source: pxe_stack/templates/installers, whose commands are taken for done.
"""

import re
import shlex
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import yaml

from deploy.rack.simulated import http
from deploy.rack.simulated.deploy import (
    SEED,
    Again,
    Deployment,
    Failed,
    Manifest,
    argument,
    asked,
    tried,
)

_SET: Final = re.compile(r"^([a-z_]+)=(.*)$", re.MULTILINE)
_PIECE: Final = 4096


class _Installer(Deployment):
    """One run of an installer; *run* is given the kernel's command line."""

    async def _begun(self, seed: str) -> None:
        """Report, and look for the disk, as the first commands do."""
        wanted = variables(await self._text("installer", 10, f"{seed}installer"))
        self.callback = wanted["callback"]
        self.installer = wanted["installer"]
        await self._told(10, "started", {"installer": self.installer})
        self._chosen(_named(wanted))
        await self.pace.pass_(self.pace.install)

    async def _ended(self) -> None:
        await self._told(10, "installed", {"installer": self.installer})

    async def _files(self, seed: str, *names: str) -> dict[str, str]:
        return {name: await self._text("seed", 5, f"{seed}{name}") for name in names}


class Ubuntu(_Installer):
    """casper, cloud-init and Ubuntu's server installer."""

    async def _steps(self, arguments: str) -> dict[str, str]:
        iso = argument(arguments, "iso-url") or argument(arguments, "url")
        await tried(5, self.pace, "iso", partial(self._reached, iso))
        seed = argument(arguments, "ds").partition(";s=")[2]
        told = await self._files(seed, *SEED)
        config = _mapping(told["user-data"]).get("autoinstall", {})
        await self._begun(seed)
        await self._ended()
        return {
            "meta-data": told["meta-data"],
            "user-data": f"#cloud-config\n{yaml.safe_dump(config['user-data'])}",
            "network-config": yaml.safe_dump(config["network"]),
        }

    async def _reached(self, url: str) -> None:
        answer = await asked(http.get(url, source=self.address, part=(0, _PIECE)))
        if answer.status not in {200, 206}:
            raise Again(f"HTTP {answer.status} for the ISO")


class Debian(_Installer):
    """Debian's installer; what its last command leaves behind phones home at the first boot."""

    async def _steps(self, arguments: str) -> dict[str, str]:
        url = argument(arguments, "url")
        preseed = await self._text("preseed", 5, url)
        if "preseed/late_command" not in preseed:
            raise Failed("preseed", "it would ask who stands before it")
        seed = url.rpartition("/")[0] + "/"
        await self._begun(seed)
        late = variables(await self._text("late", 10, f"{seed}debian"))
        told = await self._files(seed, "meta-data", "user-data", "network-config")
        await self._ended()
        home = {"url": f"{late['callback']}phone-home", "post": ["pub_key_ed25519", "hostname"]}
        system = _mapping(told["user-data"]) | {"phone_home": home}
        return told | {"user-data": f"#cloud-config\n{yaml.safe_dump(system)}"}


PLAYED: Final[Mapping[str, type[_Installer]]] = MappingProxyType({"ds": Ubuntu, "auto": Debian})
"""Which installer a kernel is of, by a word of its command line."""


def variables(script: str) -> dict[str, str]:
    """Return what a script of ours is told, by name."""
    return {name: "".join(shlex.split(value)) for name, value in _SET.findall(script)}


def _named(wanted: Mapping[str, str]) -> Manifest:
    return Manifest(
        **dict.fromkeys(("image", "sha256", "chunks", "seed"), ""),
        size=0,
        callback=wanted["callback"],
        serial=wanted["want_serial"],
        wwn=wanted["want_wwn"],
        least=int(wanted["want_bytes"]),
    )


def _mapping(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text)
    if not isinstance(found, dict):
        raise Failed("seed", "it is no mapping")
    return found
