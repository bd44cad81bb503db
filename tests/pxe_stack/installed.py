"""Orders of machines that a distribution's installer installs, and what they are served."""

from dataclasses import replace

from models import bootplan
from models.installers import Installer
from pxe_stack import installers, render
from tests.pxe_stack import make

ORDER = replace(
    render.ORDINARY,
    mac=make.MAC,
    addressing=make.plan().addressing,
    kernel_path="ubuntu/vmlinuz",
    initrd_path="ubuntu/initrd",
    iso_path="ubuntu/live-server.iso",
    instance_id="i-1",
    disk_serial="S1",
    disk_min_bytes=2000,
    kernel_args=("quiet",),
    cloud_config_template="#cloud-config\npackages: [jq]\n",
    ssh_keys=("ssh-ed25519 AAAA ops@sprout",),
)


PROXMOX = replace(
    ORDER,
    cloud_config_template="#cloud-config\nproxmox: |\n  [global]\n"
    '  root-password-hashed = "$6$salt$hash"\n',
    kernel_args=(),
)
_LEAST = {Installer.PROXMOX: PROXMOX}
"""What an installer needs that reads no cloud-config."""


def order(template="", **changes):
    given = {"cloud_config_template": f"#cloud-config\n{template}"} if template else {}
    return replace(ORDER, **given | changes)


def documents(installer: Installer, made: render.Order | None = None):
    made = made or _LEAST.get(installer, ORDER)
    return {each.name: each for each in installers.of(installer, made)}


def filled(installer: Installer, name: str, made: render.Order | None = None, plan=None) -> str:
    """What *made*'s machine is served under *name*, its slots filled as a plan's are."""
    body = documents(installer, made)[name].body
    return bootplan.fill(body, bootplan.slot_values(plan or make.plan(), make.KEY))


def seed_url(plan=None) -> str:
    plan = plan or make.plan()
    return bootplan.url(plan, make.KEY, bootplan.Access.SEED, "seed/")


def callback_url(plan=None) -> str:
    plan = plan or make.plan()
    return bootplan.url(plan, make.KEY, bootplan.Access.CALLBACK, "")
