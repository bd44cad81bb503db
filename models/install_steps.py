"""What each kind of installer is expected to show, from its first sign to the system's first boot.

The deadlines of Proxmox VE are those of its host states: 15 minutes from the boot script to the
answer, 45 minutes to install, 20 minutes to the first boot.
"""

from typing import Final

from models import join_steps
from models.observations import Seen
from models.steps import Party, Step, Trait, expect, where

_ASKS: Final = (Seen.INSTALL_FAILED, Seen.BOOT_FAILED)


def _installing(expects: str, deadline_s: int) -> Step:
    return expect(
        "installing",
        Seen.INSTALL_STARTED,
        expects,
        deadline_s,
        *_ASKS,
        party=Party.MACHINE,
        heeds=Seen.BOOT_TROUBLE,
    )


def _installed(expects: str, deadline_s: int, *fails_on: Seen) -> Step:
    return expect(
        "installed",
        Seen.INSTALLED,
        expects,
        deadline_s,
        Seen.INSTALL_FAILED,
        *fails_on,
        party=Party.MACHINE,
        settles=True,
    )


_HOME: Final = "the installed system to boot from disk and phone home"

JOIN: Final[tuple[Step, ...]] = join_steps.STEPS
"""What a Proxmox VE host does after its first boot, to be of its cluster; without one, nothing."""

PROXMOX: Final = where(
    expect(
        "answered",
        Seen.ANSWER_SERVED,
        "the installer to be loaded, to start and to ask for its answer",
        900,
        *_ASKS,
        party=Party.MACHINE,
        heeds=Seen.BOOT_TROUBLE,
    ),
    _installed("the installer to install the system and report", 2700, Seen.ANSWER_REPEATED),
    expect(
        "phoned-home",
        Seen.PHONED_HOME,
        _HOME,
        1200,
        Seen.HOME_SUSPECT,
        party=Party.MACHINE,
    ),
    *JOIN,
    only=[Trait.PROXMOX],
)

OTHERS: Final = where(
    *where(
        _installing("its deploy kernel to start and report", 900),
        _installed("the image to be written and verified", 2700),
        unless=[Trait.INSTALLER],
    ),
    *where(
        # Kernel, initramfs and then a whole ISO come over the network before it can report.
        _installing("the installer to be loaded, to start and to report", 3600),
        _installed("the installer to install the system and report", 3 * 3600),
        only=[Trait.INSTALLER],
    ),
    expect("phoned-home", Seen.PHONED_HOME, _HOME, 1200, party=Party.MACHINE),
    unless=[Trait.PROXMOX],
)

STEPS: Final = (*OTHERS, *PROXMOX)
