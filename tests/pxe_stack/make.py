"""The least that is valid of what boots, so that each argument in a test matters."""

from uuid import UUID, uuid4

from models.bootplan import Access, Action, Addressing, BootPlan, Document, File, slot
from models.observations import Observation, Seen, Source
from pxe_stack.boot_sources import Sources
from pxe_stack.loaders import Loaders

AGENT = UUID("00000000-0000-4000-8000-00000000000a")
SITE = UUID("00000000-0000-4000-8000-00000000000b")
KEY = b"the key of a site that is not"
MAC = "52:54:00:00:00:01"
ADDRESS = "10.77.0.21"
URL = "http://10.77.0.1:8081"

SCRIPT = (
    f"#!ipxe\nkernel {slot('boot.base_url')}/artifacts/os/vmlinuz"
    f" m={slot('run.token.seed')} r={slot('run.id')}\nboot\n"
)

GRUB = Document(
    name="script.grub",
    access=Access.SCRIPT,
    media_type="text/plain",
    body=f"linux /artifacts/os/vmlinuz m={slot('run.token.seed')}\nboot\n",
)


def plan(**changes) -> BootPlan:
    given = {
        "machine": UUID("00000000-0000-4000-8000-000000000001"),
        "site": SITE,
        "hostname": "node-01",
        "mac": MAC,
        "version": 1,
        "action": Action.INSTALL,
        "addressing": Addressing(
            address=ADDRESS,
            prefix_length=24,
            gateway="10.77.0.1",
            dns=("10.77.0.1",),
            domain="rack.test",
        ),
        "boot_base_url": URL,
        "run": UUID("00000000-0000-4000-8000-0000000000f1"),
        "owner": AGENT,
        "documents": (
            Document(name="script", access=Access.SCRIPT, media_type="text/plain", body=SCRIPT),
            Document(
                name="manifest",
                access=Access.SEED,
                media_type="text/plain",
                body=f"version 1\nrun {slot('run.id')}\n",
            ),
        ),
        "files": (File(role="kernel", path="os/vmlinuz", sha256="0" * 64),),
    }
    return BootPlan(**given | changes)


def another(number: int, **changes) -> BootPlan:
    """A plan of another machine."""
    return plan(
        machine=uuid4(),
        run=uuid4(),
        mac=f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}",
        addressing=Addressing(address=f"10.77.{number >> 8}.{number & 255}", prefix_length=16),
        hostname=f"node-{number}",
        **changes,
    )


def seen(kind: Seen, **changes) -> Observation:
    given = {"source": Source.HTTP, "at": 1.0, "mac": MAC}
    return Observation(kind=kind, **given | changes)


def sources(stores, **changes) -> Sources:
    """What boot HTTP answers from, at a site whose DHCP is off."""
    given = {
        "directory": stores.directory,
        "journal": stores.journal,
        "loaders": Loaders(()),
        "key": KEY,
        "boot_url": URL,
        "dhcp_on": False,
    }
    return Sources(**given | changes)
