"""`sprout up --config FILE`: the variables that a provisioning.yaml stands for, and its site."""

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import typer

from config import faults, provisioning
from config.faults import Fault
from config.policy import read
from config.provisioning import Provisioning
from config.settings import BadSettings, Settings, environment, variable
from edge import passwords
from edge.cli import config_faults, terminal
from edge.cli.client import Api, Told
from edge.cli.local.core import Core
from edge.cli.local.folder import Folder, write_private
from edge.cli.local.up import Step, Up
from edge.cli.rack import wait_for_agent
from edge.cli.sites import enrolment

MISUSED: Final = 2
_ANY: Final = "0.0.0.0"  # noqa: S104 - compared only
_PASSWORD: Final = variable("admin_password_hash")


def prepared(file: Path) -> tuple[Callable[[Settings], Step], ...]:
    """Take over what *file* says, where the environment says nothing; return what is done besides.

    Ends the command with status 2 where the file is bad, each fault told.
    """
    wrong = config_faults.faults_of(file) or _not_here(file)
    for path, fault in wrong:
        terminal.tell(config_faults.line(path, fault))
    if wrong:
        raise typer.Exit(MISUSED)
    told = provisioning.parsed(read(file))
    take_over(told.variables(file.absolute().parent))
    _let_the_admin_in()
    return (lambda settings: Premises(settings, told).run,)


def _not_here(file: Path) -> list[tuple[Path, Fault]]:
    """Return what of a good *file* this machine has not: its network card."""
    pxe = provisioning.parsed(read(file)).pxe
    said = environment()
    elsewhere = said.get(variable("dhcp_bind_interface")) or said.get(variable("netns"))
    cards = sorted(name for _, name in socket.if_nameindex())
    if not pxe.enabled or elsewhere or pxe.interface in cards:
        return []
    place = ("pxe", "interface")
    fault = Fault(
        line=faults.line_of(place, faults.lines(file)),
        place=".".join(place),
        what=f"there is no network card {pxe.interface} here",
        cure=f"One of: {', '.join(cards)}.",
    )
    return [(file, fault)]


def take_over(said: Mapping[str, str]) -> None:
    """Set those variables of *said* that the environment does not set."""
    there = environment()
    os.environ.update({name: text for name, text in said.items() if not there.get(name)})


def _let_the_admin_in() -> None:
    """Make the local admin's password, where nobody set one; it is shown once.  Raises Told."""
    if environment().get(_PASSWORD):
        return
    try:
        folder = Folder(Settings.load().data_dir)
    except BadSettings as exc:
        raise Told(str(exc), status=MISUSED) from None
    password = secrets.token_urlsafe(18)
    is_new = not folder.has_secret("admin_password_hash")
    os.environ[_PASSWORD] = folder.once("admin_password_hash", lambda: passwords.hashed(password))
    if is_new:
        terminal.tell(f"the admin's password, which is shown once: {password}")


class Premises:
    """The site where the hosts stand: its records, and its processes."""

    def __init__(self, settings: Settings, told: Provisioning) -> None:
        self._settings = settings
        self._told = told

    def run(self, started: Up, core: Core) -> None:
        """Make what is missing of site and network, and start the site."""
        api = Api(core.api_url, core.admin_token)
        slug = self._settings.site_id
        body = {"name": slug, "slug": slug}
        known = [row for row in api.items("/v1/sites") if slug in {row["id"], row["slug"]}]
        site = str(known[0]["id"]) if known else str(api.post("/v1/sites", body)["id"])
        self._network(api, site)
        enrolled = self._settings.data_dir / f"enrolment-{slug}.json"
        write_private(enrolled, enrolment(api, site))
        env = {
            variable("enrolment_file"): str(enrolled),
            variable("artifact_dir"): str(self._settings.data_dir / "site-artifacts"),
            **served_at(self._settings, self._told),
        }
        started.start(started.process("site", core, env=env))
        self._welcome(api, site)

    def _welcome(self, api: Api, site: str) -> None:
        """Say when hosts are served, and what is next."""
        try:
            wait_for_agent(api, site)
        except Told as exc:
            terminal.tell(exc.message)
            return
        terminal.tell(
            f"the site {self._settings.site_id} serves hosts: upload an ISO of Proxmox VE and "
            f"register a host at {self._told.server.public_url}"
        )

    def _network(self, api: Api, site: str) -> None:
        """Make the LAN's network, whose addresses are another server's, or change its mode."""
        wanted = lan(self._told)
        if wanted is None:
            return
        rows = api.items("/v1/networks", siteId=site)
        found = next((row for row in rows if row["cidr"] == wanted["cidr"]), None)
        if found is None:
            api.post("/v1/networks", {"siteId": site, **wanted})
        elif found["dhcpMode"] != wanted["dhcpMode"]:
            change = {"version": found["version"], "dhcpMode": wanted["dhcpMode"]}
            api.call("PATCH", f"/v1/networks/{found['id']}", body=change)


def served_at(settings: Settings, told: Provisioning) -> dict[str, str]:
    """Return the variable by which the site knows its URL, where no network card tells it.

    That is the host of the public URL, unless the environment says where boot HTTP listens.
    """
    said = settings.boot_advertise_url or str(settings.boot_bind_addr) != _ANY
    if told.pxe.enabled or said:
        return {}
    host = urlsplit(told.server.public_url).hostname or ""
    named = f"[{host}]" if ":" in host else host
    return {variable("boot_advertise_url"): f"http://{named}:{settings.boot_port}"}


def lan(told: Provisioning) -> dict[str, Any] | None:
    """Return the network that *told* speaks of, as the API takes it; None where it names none.

    A DHCP server of the LAN gives the addresses: Sprout only answers what is asked about a boot.
    """
    subnet = told.pxe.subnet
    if subnet is None:
        return None
    return {
        "name": "lan",
        "cidr": str(subnet),
        "rangeStart": str(subnet.network_address + 1),
        "rangeEnd": str(subnet.broadcast_address - 1),
        "dhcpMode": "proxy" if told.pxe.enabled else "off",
    }
