"""What is filled in to ask for a verb: its own fields, and the approval that it rests on."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from flask import request

from edge.pages import frame
from edge.pages.forms import Field
from edge.pages.outlook import Outlook
from models import lists, queries
from models.commands import remote
from models.commands.asks import BOOT_SOURCES
from models.day2_views import ApprovalView
from models.errors import NotFound
from models.kinds import Kind
from models.paging import Ask
from models.views import MachineView

MOST: Final = 500
"""Images and profiles that a form offers."""

_INVENTORY: Final = Field(
    pointer="/inventory",
    label="Inventory of",
    kind="select",
    options=[
        ("", "its BMC, and itself where it can boot the inventory image"),
        ("bmc", "its BMC alone: it is not powered"),
        ("image", "its BMC and itself, by the inventory image"),
    ],
)

_RELEASE: Final = (
    Field(
        pointer="/wipe",
        label="Take away",
        kind="select",
        options=[("", "partition tables and signatures"), ("none", "nothing")],
    ),
    Field(
        pointer="/disks",
        label="Of",
        kind="select",
        options=[("", "all of its disks"), ("root", "the disk that was installed")],
    ),
)


_BOOT_SOURCE: Final = (
    Field(
        pointer="/bootSource",
        label="Boot from",
        kind="select",
        options=[(each, each) for each in BOOT_SOURCES],
    ),
    Field(pointer="/persistent", label="Always, not only next", kind="check"),
    Field(pointer="/httpBootUri", label="URI, with http", hint="Empty: DHCP says it."),
)
_IMAGE: Final = (
    Field(
        pointer="/mediaUrl",
        label="Image URL",
        hint="Where its BMC fetches the image: http:// or https://.",
    ),
    Field(pointer="/eject", label="Take out what is inserted instead", kind="check"),
)
_SAME: Final[Mapping[str, Sequence[Field]]] = MappingProxyType(
    {
        Kind.COMMISSION: (_INVENTORY,),
        Kind.BOOT_SOURCE: _BOOT_SOURCE,
        Kind.IMAGE: _IMAGE,
        Kind.RELEASE: _RELEASE,
    }
)
"""Fields of verbs that are the same for every machine."""


def of(machine: MachineView, verb: str) -> Sequence[Field]:
    """Return the fields of *verb*'s own, asked of *machine*."""
    match verb:
        case Kind.PROVISION | Kind.REPROVISION:
            return _system(machine)
        case Kind.REMOTE_TASK:
            return _command(machine)
        case _:
            return _SAME.get(verb, ())


def _command(machine: MachineView) -> Sequence[Field]:
    allowed = remote.allowed(machine.site_id)
    hint = f"Listed at {machine.site_slug}: {'; '.join(allowed.texts) or 'nothing'}."
    limit = f"1 to {allowed.limit_s}; empty: {allowed.seconds(None)}."
    return (
        Field(pointer="/command", label="Command", required=True, hint=hint),
        Field(pointer="/timeLimitS", label="Seconds it may take", kind="number", hint=limit),
    )


def _system(machine: MachineView) -> Sequence[Field]:
    ask = Ask(limit=MOST)
    images = lists.images(architecture=machine.architecture, ask=ask)
    networks = lists.networks(site_id=machine.site_id, purpose="provisioning", ask=ask)
    only = [("", "the site's only one")] if len(networks) < 2 else []
    return (
        Field(
            pointer="/imageRef",
            label="Image",
            kind="select",
            options=[(each.ref, f"{each.name} ({each.ref})") for each in images],
            value=machine.image_ref or "",
            hint="" if images else f"No image for {machine.architecture}: sprout images create",
        ),
        Field(
            pointer="/profileRef",
            label="Profile",
            kind="select",
            options=[(each.ref, f"{each.name} ({each.ref})") for each in lists.profiles(ask=ask)],
            value=machine.profile_ref or "",
        ),
        Field(
            pointer="/networkId",
            label="Network",
            kind="select",
            options=[*only, *((str(each.id), f"{each.name} {each.cidr}") for each in networks)],
            value=str(machine.network_id or ""),
        ),
    )


def approval(foreseen: Outlook) -> Sequence[Field]:
    """Return the choice of approvals; where policy wants none, none is taken unless chosen."""
    if not foreseen.given and foreseen.wanted is None:
        return ()
    options = [(str(each.id), _said(each)) for each in foreseen.given]
    if foreseen.wanted is None:
        options.insert(0, ("", "none: policy wants none"))
    return (
        Field(
            pointer="/approvalId",
            label="Approval",
            kind="select",
            options=options or [("", "none yet")],
        ),
    )


def _said(approval: ApprovalView) -> str:
    until = frame.exact(approval.expires_at)
    return f"{approval.decided_by}: {approval.reason or 'approved'} (good until {until})"


def chosen(fields: Sequence[Field]) -> Mapping[str, str]:
    """Return what is chosen so far of *fields*, by the name that it has in what is asked."""
    words = ((each, request.values.get(each.pointer) or each.value) for each in fields)
    first = {each.pointer: each.options[0][0] for each in fields if each.options}
    found = {each.pointer[1:]: word or first.get(each.pointer, "") for each, word in words}
    return {**found, **_installer(found.get("imageRef", ""))}


def _installer(image: str) -> Mapping[str, str]:
    """Return what installs the image *image*: it has steps of its own."""
    try:
        return {"installer": queries.image(image).installer} if image else {}
    except NotFound:
        return {}
