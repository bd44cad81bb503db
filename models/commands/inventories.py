"""Commissioning by the inventory image: whether it can be, its run, its report, and the judgement.

The image lies in the catalogue like any other, under a reference that begins with INVENTORY; of
those for a machine's architecture that are whole the newest is booted.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from models import boards, differences, facts
from models.bootplan import Action
from models.commands import agents, machines, runs, tasks
from models.commands.runs import Boot, Render
from models.errors import DomainError, NotReady
from models.steps import CAPABILITY, Task, Trait
from models.tables import Image, Machine, Network, Workflow

INVENTORY: Final = "inventory"


class How(StrEnum):
    """By what a machine is commissioned."""

    AUTO = "auto"
    BMC = "bmc"
    IMAGE = "image"


_HINT: Final = "Make it available as the README says, or ask with: --inventory bmc"


def chosen(machine: Machine, how: How) -> dict[str, Any]:
    """Return the parameters of commissioning *machine*: the image, or why there is none.

    By auto the image is booted where that can be; whoever asks for it is refused where it cannot,
    and so is a machine without a BMC, which has no other way.  Raises DomainError.
    """
    if how is How.BMC and boards.driven(machine.bmc):
        return {"inventory": How.BMC.value}
    try:
        image, network = _bootable(machine)
    except DomainError as exc:
        if how is How.IMAGE or not boards.driven(machine.bmc):
            raise
        return {"inventory": How.BMC.value, "why": str(exc)}
    ids = {"inventory_image": str(image.id), "network_id": str(network.id)}
    return {"inventory": How.IMAGE.value, "image": image.ref, "network": network.name, **ids}


def _bootable(machine: Machine) -> tuple[Image, Network]:
    """Return what *machine* would boot, and on which network.  Raises DomainError."""
    image = _newest(machine.architecture)
    runs.pxe_interface(machine)
    network = runs.provisioning_network(machine, None)
    runs.owner(machine)
    agents.newest_live(machine.site_id, CAPABILITY[Task.REPORT])
    return image, network


def _newest(architecture: str) -> Image:
    named = (Image.ref == INVENTORY) | Image.ref.startswith(f"{INVENTORY}-")
    bare = (Image.image_path == "") & (Image.iso_path == "")  # else it is an operating system's
    rows = Image.select().where((Image.architecture == architecture) & named & bare)
    for image in rows.order_by(Image.created_at.desc(), Image.id):
        if {image.kernel_path, image.initrd_path} <= image.checksums.keys():
            return image
    raise NotReady(
        f"the catalogue has no inventory image for {architecture}", field="/inventory", hint=_HINT
    )


def prepare(machine: Machine, flow: Workflow, render: Render) -> None:
    """Give the machine an address, a run and a plan by which it takes inventory of itself."""
    boot = Boot(
        action=Action.INVENTORY,
        image=Image.get_by_id(UUID(flow.params["inventory_image"])),
        network=Network.get_by_id(UUID(flow.params["network_id"])),
    )
    plan = runs.opened(machine, flow, boot, render)
    runs.publish(machine, plan, request_id=flow.request_id)


def record_bmc(machine: Machine, flow: Workflow) -> None:
    """Keep what the BMC told as the facts."""
    keep(machine, tasks.last_result(flow))


def record_report(machine: Machine, flow: Workflow) -> None:
    """Keep what the machine told of itself, beside what its BMC did in this workflow."""
    by_hand = Trait.BY_HAND in flow.params.get("traits", ())
    image = tasks.last_result(flow).get("facts")
    if not isinstance(image, Mapping):
        raise NotReady("the report brought no facts")
    keep(machine, differences.merged({} if by_hand else machine.facts, image))


def keep(machine: Machine, found: dict[str, Any]) -> None:
    """Make what was found the machine's facts, and say how they differ from what was entered."""
    machine.facts = found
    machine.found_memory_mib, machine.found_disk_bytes = facts.sizes(found)
    machine.differences = machines.differences(machine)
    machine.save()


def judge(machine: Machine) -> None:
    """Return if nothing that was found is critical.  Raises NotReady."""
    if bad := differences.critical(machine.differences):
        raise NotReady(f"critical: {'; '.join(map(differences.sentence, bad))}"[:1000])
