"""What can be asked of a machine, and how it stands."""

from enum import StrEnum


class Kind(StrEnum):
    """What is asked of a machine."""

    COMMISSION = "commission"
    PROVISION = "provision"
    REPROVISION = "reprovision"
    IMAGE = "image"
    POWER_ON = "power-on"
    POWER_OFF = "power-off"
    REBOOT = "reboot"
    BOOT_SOURCE = "boot-source"
    REMOTE_TASK = "remote-task"
    RELEASE = "release"
    RETIRE = "retire"
    MAINTENANCE = "maintenance"
    RESUME = "resume"
    CLEAR = "clear"
    DEALLOCATE = "deallocate"
    CLEAN_UP = "clean-up"
    """What follows a failure: control asks for it, nobody else."""


class Progress(StrEnum):
    """How a workflow stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
