"""Our scripts in the system of Debian's installer: its busybox, with disks and cards of ours."""

import shutil
import subprocess
from pathlib import Path

import pytest

from models.installers import Installer
from tests.pxe_stack import make
from tests.pxe_stack.installed import callback_url, filled, order

pytestmark = pytest.mark.services

INITRD = Path("/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz")
DEBIAN = Installer.PRESEED
SHELL = ("bin/*", "usr/bin/*", "lib64*", "lib/x86_64-linux-gnu/*", "lib/ld*", "usr/lib64*")
"""What of the installer a shell needs."""
WGET = """#!/bin/sh
# Answers of a site: what lies in /served, and whatever is posted is taken while its run stands.
for word; do last=$word; done
[ ! -e /over ] || exit 1
case " $* " in
    *" --post-data "*) printf '%s %s\\n' "$last" "$9" >>/posted ;;
    *) cp "/served/${last##*/}" "$3" ;;
esac
"""
STAND_INS = {
    "usr/bin/wget": WGET,
    "bin/debconf-set": '#!/bin/sh\necho "$*" >>/answers\n',
    "bin/sleep": "#!/bin/sh\n",
}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installer")
    packed = subprocess.run(["zcat", INITRD], check=True, capture_output=True).stdout
    words = ["cpio", "--extract", "--make-directories", "--quiet", "--no-absolute-filenames"]
    subprocess.run([*words, *SHELL], cwd=folder, input=packed, check=True)
    (folder / "dev").mkdir(exist_ok=True)
    (folder / "dev/null").touch()
    for name, script in STAND_INS.items():
        (folder / name).unlink()
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


class Debian:
    """The installer's system, as a folder to change into."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        path = self.root / name
        return path.read_text() if path.exists() else ""

    def disk(self, name: str, serial: str = "", wwn: str = "", *, size: int = 1 << 30) -> None:
        self.put(f"sys/block/{name}/device/serial", f"{serial}  \n")
        self.put(f"sys/block/{name}/wwid", f"{wwn}\n")
        self.put(f"sys/block/{name}/ro", "0\n")
        self.put(f"sys/block/{name}/size", f"{size // 512}\n")

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        self.put("script", script)
        command = ["chroot", str(self.root), "/bin/sh", "/script", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def debian(unpacked):
    yield Debian(unpacked)
    for name in ("answers", "over", "posted", "script"):
        (unpacked / name).unlink(missing_ok=True)
    for name in ("sys", "target", "served", "var"):
        shutil.rmtree(unpacked / name, ignore_errors=True)


@pytest.mark.parametrize(
    "named",
    [
        {"disk_serial": "S1", "disk_wwn": ""},
        {"disk_serial": "", "disk_wwn": "0x5000C500A1B2C3D4"},
        {"disk_serial": "S1", "disk_wwn": "naa.5000c500a1b2c3d4"},
    ],
    ids=["serial", "wwn", "both"],
)
def test_the_one_disk_that_is_meant_is_given_to_partman_and_to_grub(debian, named):
    debian.disk("sda", "S0", "naa.5000c500ffffffff")
    debian.disk("sdb", "S1", "naa.5000c500a1b2c3d4")
    debian.disk("sr0", "S1", "naa.5000c500a1b2c3d4")

    done = debian.run(filled(DEBIAN, "seed/installer", order(**named)), "partman")

    assert done.returncode == 0, done.stderr
    assert debian.read("answers") == (
        "partman-auto/disk /dev/sdb\ngrub-installer/bootdev /dev/sdb\n"
    )


def test_partman_is_given_its_disk_after_the_site_has_said_that_the_run_still_stands(debian):
    debian.disk("sda", "S1")

    done = debian.run(filled(DEBIAN, "seed/installer"), "partman")

    assert done.returncode == 0, done.stderr
    assert debian.read("posted") == f"{callback_url()}progress installer=preseed&disk=/dev/sda\n"


def test_partman_is_given_no_disk_by_a_run_that_is_over(debian):
    debian.disk("sda", "S1")
    debian.put("over", "the run was cancelled while the installer loaded its parts")

    done = debian.run(filled(DEBIAN, "seed/installer"), "partman")

    assert done.returncode == 1
    assert debian.read("answers") == ""


@pytest.mark.parametrize(
    ("serials", "size", "why"),
    [
        (("S0", "S2"), 1 << 30, "no+disk+matches"),
        (("S1", "S1"), 1 << 30, "more+than+one+disk+matches"),
        (("S1", "S2"), 1024, "no+disk+matches"),
        (("S1 & x=y", "S2"), 1 << 30, "serial+'S1+%26+x%3Dy'"),
    ],
    ids=["none", "two", "too-small", "hostile"],
)
def test_without_exactly_one_disk_nothing_is_chosen_and_the_site_hears_why(
    debian, serials, size, why
):
    for number, serial in enumerate(serials):
        debian.disk(f"sd{number}", serial, size=size)

    done = debian.run(filled(DEBIAN, "seed/installer"), "partman")

    assert done.returncode == 1
    assert debian.read("answers") == ""
    [posted] = debian.read("posted").splitlines()
    assert posted.startswith(f"{callback_url()}failed stage=disk&reason=")
    assert why in posted


@pytest.mark.parametrize("event", ["started", "installed"])
def test_the_installer_reports_by_what_its_system_has(debian, event):
    done = debian.run(filled(DEBIAN, "seed/installer"), event)

    assert done.returncode == 0, done.stderr
    assert debian.read("posted") == f"{callback_url()}{event} installer=preseed\n"


def test_what_is_not_asked_is_not_done(debian):
    assert debian.run(filled(DEBIAN, "seed/installer"), "format").returncode == 2


def test_the_installed_system_has_its_address_its_seed_and_a_service_that_phones_home(debian):
    for name in ("etc/network", "etc/cloud/cloud.cfg.d", "etc/systemd/system"):
        (debian.root / "target" / name).mkdir(parents=True)
    debian.put("sys/class/net/enp9s0/address", f"{make.MAC}\n")
    debian.put("sys/class/net/lo/address", "00:00:00:00:00:00\n")
    for name in ("user-data", "meta-data"):
        debian.put(f"served/{name}", filled(DEBIAN, f"seed/{name}"))

    done = debian.run(filled(DEBIAN, "seed/debian"))

    assert done.returncode == 0, done.stderr
    assert debian.read("target/etc/network/interfaces").endswith(
        "allow-hotplug enp9s0\niface enp9s0 inet static\n    address 10.77.0.21/24\n"
        "    gateway 10.77.0.1\n    dns-nameservers 10.77.0.1\n"
    )
    seed = "target/var/lib/cloud/seed/nocloud"
    assert debian.read(f"{seed}/user-data") == filled(DEBIAN, "seed/user-data")
    assert (debian.root / seed / "user-data").stat().st_mode & 0o077 == 0
    home = debian.root / "target/usr/lib/sprout/phone-home"
    assert f'"{callback_url()}phone-home"' in home.read_text()
    assert home.stat().st_mode & 0o777 == 0o700
    wanted = debian.root / "target/etc/systemd/system/multi-user.target.wants"
    assert (wanted / "sprout-phone-home.service").is_symlink()
    assert subprocess.run(["shellcheck", home], check=False).returncode == 0


def test_a_seed_that_does_not_come_stops_the_installer(debian):
    (debian.root / "target/etc/network").mkdir(parents=True)
    (debian.root / "target/etc/cloud/cloud.cfg.d").mkdir(parents=True)

    assert debian.run(filled(DEBIAN, "seed/debian")).returncode != 0


def test_a_failure_is_told_by_the_name_of_its_part_and_not_by_what_its_log_says(debian):
    """What Ubuntu's installer writes down of commands may hold secrets."""
    debian.put(
        "var/log/installer/subiquity-server-debug.log",
        "DEBUG finish: subiquity/Early/run: SUCCESS: \n"
        "DEBUG finish: subiquity/Late/run/command_0: FAIL: curl -u ada:hunter2 https://x\n",
    )

    done = debian.run(filled(Installer.AUTOINSTALL, "seed/installer"), "failed")

    assert done.returncode == 0, done.stderr
    reason = "reason=the+installer+failed:+subiquity/Late/run/command_0"
    assert debian.read("posted") == f"{callback_url()}failed stage=installer&{reason}\n"


def test_a_failure_without_a_log_is_told_too(debian):
    debian.run(filled(Installer.AUTOINSTALL, "seed/installer"), "failed")

    assert "its+logs+are+in+/var/log/installer" in debian.read("posted")
