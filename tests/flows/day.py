"""A day of the command list: what its steps share, and how they look at a machine from outside."""

from dataclasses import dataclass, field

from tests.flows.yard import ADDRESS, Yard

NAME = "node-01"
DOMAIN = "provisioning.sprout.local"
BOOT_CODE = slice(0, 440)
SIGNATURE = slice(510, 512)
GPT = slice(512, 520)
OF_ANEW = "/srv/of-the-profile"
"""A file that the profile `anew` writes, and `base` does not."""
REFUSED, FORBIDDEN = 3, 4


@dataclass
class Day:
    """What one step learns and the next needs."""

    yard: Yard
    site: str = ""
    network: str = ""
    machine: str = ""
    stranger: str = ""
    boot: str = ""
    workflows: list = field(default_factory=list)

    @property
    def unit(self):
        return self.yard.units[0]

    def sprout(self, *words, **more):
        return self.yard.sprout(*words, **more)

    def asked(self, verb, *words, state="succeeded"):
        """Ask for a verb on the machine, with a reason, and follow it to its end."""
        words = ("machines", verb, self.machine, *words, "--reason", f"{verb}, by hand")
        flow = self.sprout(*words)
        ended = self.yard.up.ended(flow["id"])
        assert ended["state"] == state, ended["detail"]
        self.workflows.append(ended)
        return ended

    def approved(self, action):
        said = ("--action", action, "--decision", "approved", "--reason", "kernel update")
        made = self.sprout("approvals", "create", "--machine-id", self.machine, *said)
        return made["id"]

    @property
    def address(self):
        (held,) = self.sprout("ip-allocations", "list", "--machine-id", self.machine)
        return held["address"]

    def told(self, *words):
        """Return what a command on the machine's system prints, which is something."""
        address = self.address
        return self.yard.until(lambda: self.yard.ssh(address, *words), "its shell's answer")

    def booted(self, before=""):
        """Wait for a boot of its system, after the boot *before*; return the boot's name."""
        address = self.address

        def boot():
            found = self.yard.ssh(address, "cat", "/proc/sys/kernel/random/boot_id")
            return found if found != before else ""

        return self.yard.until(boot, "its next boot")


def answers(day):
    """Wait until it is there for others: at its address, by its name and with a key of its own.

    Its reservation is in force at Kea, its name is told by DNS, and its sshd shows a key that its
    first boot has told; returns that key.
    """
    address = day.address
    assert day.yard.leases.reserved() == {day.unit.mac: address}

    def shown():
        told = day.yard.within("dig", "+short", f"@{ADDRESS}", f"{NAME}.{DOMAIN}", "A").split()
        key = " ".join(day.yard.within("ssh-keyscan", "-t", "ed25519", address).split()[1:3])
        known = day.sprout("machines", "show", day.machine)["sshHostKeys"]
        ours = key in {" ".join(each.split()[:2]) for each in known}
        return key if told == [address] and ours else None

    return day.yard.until(shown, "its name in DNS, and its sshd")
