"""Hosts: machines with a server type, which are rebuilt with Proxmox VE."""

from http import HTTPStatus
from typing import Final

from flask import Response, current_app

from edge import access, auth, preflight, refusals
from edge.api.contract import answered, operation, resource
from edge.api.host_forms import Host, HostFilter, HostRef, Hosts, NewHost, Operation, Rebuild
from edge.api.machine_verbs import REFUSES
from models import homes, lists, queries
from models.commands import hosts as commands
from models.views import MachineView

api: Final = resource("hosts", "Machines with a server type, rebuilt with Proxmox VE.")


@operation(
    api,
    "post",
    "/api/hosts",
    "createHost",
    answer=Host,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "unknown-reference", "taken", "not-ready", "not-found"),
    action="host.create",
)
def create(body: NewHost) -> Response:
    """Register a host, at the site that is configured or at the only one.

    Its architecture, network card and how it is woken are those of its server type.
    """
    site = commands.site_of_hosts(
        current_app.extensions["sprout"].site, access.sites_for("host.create")
    )
    access.demand("host.create", site)
    host_id = commands.create(
        auth.caller(),
        commands.NewHost(
            site_id=site, hostname=body.hostname, mac=body.mac, server_type=body.server_type
        ),
    )
    made = _shown(queries.machine(host_id))
    return answered(made, HTTPStatus.CREATED, location=f"/api/hosts/{host_id}")


@operation(api, "get", "/api/hosts", "listHosts", answer=Hosts, action="host.read")
def index(query: HostFilter) -> Response:
    """List hosts."""
    wanted = lists.Wanted(among=access.visible_sites(), search=query.search, hosts=True)
    return answered(Hosts.showing(lists.hosts(wanted, query.ask())))


@operation(api, "get", "/api/hosts/<host>", "getHost", answer=Host, action="host.read")
def show(path: HostRef) -> Response:
    """Show one host."""
    return answered(_shown(commands.host(path.host)))


@operation(
    api,
    "delete",
    "/api/hosts/<host>",
    "deleteHost",
    answer=Host,
    refuses=("illegal-transition", "policy-denied", "approval-needed", "approval-unfit"),
    action="host.delete",
)
def delete(path: HostRef) -> Response:
    """Forget a host that nothing is done to, and on which nothing runs; answers what it was.

    One that is ready is released first.  Where its address may still be served, it stays retired
    until it is deleted again.
    """
    host = _asked_of(path)
    shown = _shown(host)
    commands.delete(auth.caller(), host)
    return answered(shown)


@operation(
    api,
    "post",
    "/api/hosts/<host>/rebuild",
    "rebuildHost",
    answer=Operation,
    status=HTTPStatus.ACCEPTED,
    refuses=REFUSES,
    action="host.rebuild",
)
def rebuild(path: HostRef, body: Rebuild) -> Response:
    """Install Proxmox VE on the host anew.  Wipes its disk.

    The image is the one that is marked as the default, else the only one.
    """
    host = _asked_of(path)
    chosen = commands.choice(auth.caller(), host)
    preflight.demand_fit(host.id, chosen.image_ref, chosen.profile_ref, chosen.hardware)
    flow = commands.rebuild(
        auth.caller(), host, chosen, reason=body.reason, approval_id=body.approval_id
    )
    begun = Operation.of(queries.workflow(flow))
    return answered(begun, HTTPStatus.ACCEPTED, location=f"/v1/workflows/{flow}")


def _shown(host: MachineView) -> Host:
    return Host.of(*homes.of([host]))


def _asked_of(path: HostRef) -> MachineView:
    host = commands.host(path.host)
    refusals.concerns(host.id, host.site_id)
    return host
