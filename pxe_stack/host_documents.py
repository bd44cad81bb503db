"""Names of what a run of Proxmox VE is served; who serves it needs none of what composes it."""

from typing import Final

ANSWER_TOML: Final = "answer.toml"
ANSWER_JSON: Final = "answer.json"
FIRST_BOOT: Final = "first-boot-script"
OVERLAY: Final = "pxe-init.cpio"
"""What a host boots by whose server type says so, or whose image's kernel arguments hold
`overlay.KERNEL_ARGUMENT`."""
WORDS: Final = "auto-installer-mode.toml"
"""Where the installer asks, and as whom: laid over the slot of the run's ISO as it is served."""
ISO: Final = "proxmox.iso"
"""The run's own ISO below its token: the stored one, with the run's words laid over its slot."""
