"""What the installer of Proxmox VE is served: its answer, its boot scripts, and its first boot."""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import threading
import tomllib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address

import pytest

from models import bootplan
from models.answering import Hardware
from models.bootplan import Access
from models.errors import Invalid
from models.installers import Installer
from pxe_stack import installers, iso_slot, proxmox, run_door, toml
from tests.pxe_stack import installed, make
from tests.services import certificates

LEAST = '[global]\nroot-password-hashed = "$6$salt$hash"\n'
TOKENED = bootplan.url(make.plan(), make.KEY, Access.SEED, "x").removesuffix("/x")
PLAN = make.plan(ssh_key="ssh-ed25519 AAAAC3Nz run")


def order(text=LEAST, **changes):
    template = "#cloud-config\n" + json.dumps({"proxmox": text})
    return replace(installed.PROXMOX, cloud_config_template=template, **changes)


def answer(text=LEAST, **changes):
    made = installed.filled(Installer.PROXMOX, proxmox.ANSWER_TOML, order(text, **changes), PLAN)
    return tomllib.loads(made)


def test_both_forms_of_the_answer_say_the_same():
    as_json = installed.filled(Installer.PROXMOX, proxmox.ANSWER_JSON, order(), PLAN)

    assert json.loads(as_json) == answer()


def test_nothing_that_is_served_is_of_one_run_alone():
    """So that an approval, which names receipts, holds for the run that it is given to."""
    made = installed.documents(Installer.PROXMOX, order())

    assert installed.documents(Installer.PROXMOX, replace(order(), instance_id="i-2")) == made
    assert {name: each.access for name, each in made.items()} == {
        "script": Access.SCRIPT,
        "script.grub": Access.SCRIPT,
        "auto-installer-mode.toml": Access.SEED,
        "answer.toml": Access.SEED,
        "answer.json": Access.SEED,
        "first-boot-script": Access.SEED,
    }


def test_what_nobody_states_is_something_usual():
    told = answer()["global"]

    assert (told["country"], told["keyboard"], told["timezone"]) == ("us", "en-us", "UTC")
    assert (told["fqdn"], told["mailto"]) == ("node-01.rack.test", "root@node-01.rack.test")


def test_a_host_of_a_network_without_a_domain_has_a_whole_name_all_the_same():
    addressing = replace(installed.PROXMOX.addressing, domain="")

    assert answer(addressing=addressing)["global"]["fqdn"] == "node-01.internal"


def test_the_profile_is_filled_and_a_server_type_wins_over_it():
    text = LEAST + 'mailto = "root@{{ hostname }}.example"\n[disk-setup]\nfilesystem = "xfs"\n'
    told = answer(
        text, hardware=Hardware(boot_disk="nvme0n1", answer='[disk-setup]\nfilesystem = "ext4"\n')
    )

    assert told["global"]["mailto"] == "root@node-01.example"
    assert told["disk-setup"] == {"filesystem": "ext4", "disk-list": ["nvme0n1"]}


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        (
            {"disk_serial": "S1"},
            {"ID_SERIAL_SHORT": "S1", "ID_SERIAL": "S1", "ID_SCSI_SERIAL": "S1"},
        ),
        (
            {"disk_serial": "A B"},
            {"ID_SERIAL_SHORT": "A_B", "ID_SERIAL": "A_B", "ID_SCSI_SERIAL": "A_B"},
        ),
        (
            {"disk_serial": "", "disk_wwn": "5000C500A1"},
            {"ID_WWN": "0x5000c500a1", "ID_WWN_WITH_EXTENSION": "0x5000c500a1"},
        ),
        (
            {"disk_serial": "", "disk_wwn": "eui.0025388B"},
            {"ID_WWN": "eui.0025388b", "ID_WWN_WITH_EXTENSION": "eui.0025388b"},
        ),
    ],
)
def test_the_disk_that_is_known_is_named_by_what_udev_says_of_it(known, wanted):
    told = answer(**known)["disk-setup"]

    assert (told["filter"], told["filter-match"]) == (wanted, "any")


@pytest.mark.parametrize("serial", ["*", "S?", "[S]1", 'S"1', "S\n1", "S" * 200])
def test_a_serial_number_that_is_a_pattern_chooses_no_disk(serial):
    with pytest.raises(Invalid) as caught:
        answer(disk_serial=serial)

    assert caught.value.field == "/rootDisk/serial"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("packages: [jq]", "packages is cloud-config"),
        ("proxmox: [a]", "must be text"),
        ("proxmox: '['", "no TOML"),
        ("proxmox: ''", "root-password"),
        ("proxmox: '[global]\n\n  fqdn = \"x.y\"'", "Sprout's to decide"),
    ],
)
def test_a_profile_that_would_not_install_is_refused(template, why):
    made = replace(installed.PROXMOX, cloud_config_template=f"#cloud-config\n{template}")

    with pytest.raises(Invalid, match=why):
        installers.of(Installer.PROXMOX, made)


def test_a_host_of_which_no_disk_is_known_is_refused_where_none_is_named():
    with pytest.raises(Invalid, match="disk-list and filter"):
        answer(disk_serial="", disk_wwn="")


def test_profiles_of_other_installers_are_still_good():
    installers.check_template("#cloud-config\npackages: [jq]\n")


@pytest.mark.parametrize(
    "text", ["", LEAST, '[disk-setup]\nfilesystem = "zfs"\nzfs.raid = "raid1"\n']
)
def test_a_profile_may_leave_to_server_types_what_is_theirs(text):
    installers.check_template("#cloud-config\n" + json.dumps({"proxmox": text}))


def test_keys_of_a_site_are_left_to_systems_that_share_none():
    keys = ("ssh-ed25519 AAAA ada", 'restrict,cert-authority,principals="x" ssh-ed25519 AAAA s')

    assert answer(ssh_keys=keys)["global"]["root-ssh-keys"] == [PLAN.ssh_key, keys[0]]


def test_the_kernel_is_started_in_the_vendors_words():
    script = installed.filled(Installer.PROXMOX, "script", order(kernel_args=("proxmox-debug",)))
    words = (
        "ramdisk_size=16777216 rw quiet initrd=initrd.img splash=silent"
        " proxmox-start-auto-installer proxmox-debug"
    )

    assert f"/vmlinuz {words} || goto failed\n" in script
    assert f"{TOKENED}/proxmox.iso proxmox.iso || goto failed\n" in script


def test_grub_has_the_iso_in_the_initramfs_too():
    script = installed.filled(Installer.PROXMOX, "script.grub", order())

    assert f" newc:proxmox.iso:{TOKENED.removeprefix(make.URL)}/proxmox.iso; then\n" in script
    assert "initrd=" not in script


@pytest.mark.parametrize(
    "asked",
    [
        {"kernel_args": ("rdinit=/pxe-init",)},
        {"hardware": Hardware(boot_disk="sda", boot="overlay")},
        {
            "hardware": Hardware(boot_disk="sda", boot="overlay"),
            "kernel_args": ("quiet", "rdinit=/pxe-init"),
        },
    ],
    ids=["image", "server-type", "both"],
)
def test_what_asks_for_it_boots_by_the_overlay_and_not_with_the_iso(asked):
    found = {
        name: installed.filled(Installer.PROXMOX, name, order(**asked))
        for name in ("script", "script.grub")
    }

    assert " quiet initrd=pxe-init.cpio initrd=initrd.img splash=silent " in found["script"]
    assert f"\ninitrd {TOKENED}/pxe-init.cpio || goto failed\n" in found["script"]
    assert f" {TOKENED.removeprefix(make.URL)}/pxe-init.cpio; then\n" in found["script.grub"]
    for text in found.values():
        assert text.count(" rdinit=/pxe-init") == 1
        assert "proxmox.iso" not in text


def test_a_server_type_that_names_the_usual_way_is_loaded_with_the_iso():
    hardware = Hardware(boot_disk="sda", boot="iso")

    script = installed.filled(Installer.PROXMOX, "script", order(hardware=hardware))

    assert " rdinit" not in script.partition("iseq ${platform} efi")[0]
    assert f"{TOKENED}/proxmox.iso proxmox.iso || goto failed\n" in script


def test_by_uefi_linux_fetches_the_iso_where_an_old_ipxe_could_not_hand_it_on():
    script = installed.filled(Installer.PROXMOX, "script", order(kernel_args=("proxmox-debug",)))
    words = (
        "ramdisk_size=16777216 rw quiet initrd=pxe-init.cpio initrd=initrd.img splash=silent"
        " proxmox-start-auto-installer rdinit=/pxe-init proxmox-debug"
    )

    assert (
        "\niseq ${platform} efi || goto loaded\n"
        f"initrd {TOKENED}/pxe-init.cpio || goto failed\n"
        f"imgargs vmlinuz {words} || goto failed\n"
        ":loaded\n"
    ) in script


def test_what_boots_by_the_overlay_anyhow_does_so_by_each_firmware():
    hardware = Hardware(boot_disk="sda", boot="overlay")

    assert "${platform} efi" not in installed.filled(
        Installer.PROXMOX, "script", order(hardware=hardware)
    )


def test_the_installer_is_told_where_to_ask_and_by_which_word_in_what_fits_its_slot():
    told = installed.filled(Installer.PROXMOX, proxmox.WORDS, order(), PLAN)

    assert tomllib.loads(told) == {
        "mode": "http",
        "http": {
            "url": f"{make.URL}/api/boot/answer",
            "token": run_door.bearer(PLAN, make.KEY),
        },
    }
    assert len(iso_slot.slot(told)) == iso_slot.SLOT


@pytest.mark.parametrize(
    "value",
    [
        'a"b',
        "a\\b",
        "a\nb",
        "\x7f\x01",
        "ü €",
        "\U0001f331",
        "",
        1,
        12.5,
        True,
        ["a", 2],
        {"k x": "v"},
    ],
)
def test_what_is_written_as_toml_is_read_as_it_was(value):
    document = {"global": {"key-1": value, "a b": value}, "x.y": {}}

    assert tomllib.loads(toml.dump(document)) == document


class Control(HTTPServer):
    """Answers phone-homes: refuses the first *refusals*, and keeps what is told."""

    def __init__(self, refusals):
        super().__init__(("127.0.0.1", 0), Handler)
        self.refusals, self.told = refusals, []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, self.headers["Content-Type"], json.loads(body)))
        refused = len(self.server.told) <= self.server.refusals
        self.send_response(503 if refused else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words): ...


@pytest.fixture
def first_boot(tmp_path):
    """Return a function that runs the script against a control that refuses so many times.

    With *tls* that speaks https, and *pin* is the certificate that the script pins.
    """
    served = []

    def run(refusals, tries, tls=None, pin=""):
        control = Control(refusals)
        served.append(control)
        if tls is not None:
            control.socket = tls.wrap_socket(control.socket, server_side=True)
        thread = threading.Thread(target=control.serve_forever, args=(0.05,))
        thread.start()
        scheme = "http" if tls is None else "https"
        plan = make.plan(boot_base_url=f"{scheme}://127.0.0.1:{control.server_port}")
        text = installed.filled(Installer.PROXMOX, proxmox.FIRST_BOOT, order(pin=pin), plan)
        script = tmp_path / "first-boot"
        script.write_text(text)
        env = {**os.environ, "SPROUT_TRIES": str(tries), "SPROUT_PAUSE": "0", "no_proxy": "*"}
        shell = shutil.which("sh")
        ended = subprocess.run([shell, script], env=env, check=False, timeout=120)
        control.shutdown()
        thread.join()
        return ended.returncode, control.told, plan

    yield run
    for control in served:
        control.server_close()


def test_a_first_boot_tells_who_and_where_it_is_until_it_is_heard(first_boot):
    # curl is refused, then wget, then curl is heard.
    status, told, plan = first_boot(refusals=2, tries=5)

    assert (status, len(told)) == (0, 3)
    token = bootplan.token(make.KEY, plan.run, Access.CALLBACK)
    path, kind, body = told[0]
    assert path == f"/api/hosts/{plan.machine}/phone-home?run={plan.run}&token={token}"
    assert kind == "application/json"
    assert body.keys() == {"ip", "hardware_id"}
    assert ip_address(body["ip"]) == ip_address("127.0.0.1")
    assert body["hardware_id"]


def test_a_first_boot_that_nobody_hears_fails_so_that_the_next_one_tries_again(first_boot):
    status, told, _ = first_boot(refusals=99, tries=2)

    assert status != 0
    assert len(told) >= 2


PIN = ":".join(["AB"] * 32)


def test_a_certificate_is_pinned_wherever_a_host_calls_and_nothing_without_one():
    pinned, plain = answer(pin=PIN), answer()
    texts = [
        installed.filled(Installer.PROXMOX, proxmox.WORDS, order(pin=pin), PLAN)
        for pin in (PIN, "")
    ]

    for section in ("post-installation-webhook", "first-boot"):
        assert pinned[section]["cert-fingerprint"] == PIN
        assert "cert-fingerprint" not in plain[section]
    told = [tomllib.loads(each)["http"].get("cert_fingerprint") for each in texts]
    assert told == [PIN, None]
    assert len(texts[0]) < iso_slot.SLOT


@pytest.mark.parametrize("pin", ["AB", PIN[:-1], f"{PIN}\n", "'; reboot; '", PIN.replace(":", "")])
def test_what_is_no_fingerprint_is_written_nowhere(pin):
    with pytest.raises(Invalid):
        installed.documents(Installer.PROXMOX, order(pin=pin))


@pytest.fixture
def https(tmp_path):
    """A server's side of TLS with a certificate that nobody knows, and its fingerprint."""
    signed = certificates.authority(tmp_path).issue("site", hosts=["elsewhere.example"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.cert, signed.key)
    shown = ssl.PEM_cert_to_DER_cert(signed.cert.read_text())
    return context, hashlib.sha256(shown).digest().hex(":").upper()


def test_a_first_boot_by_https_tells_whoever_has_the_certificate_that_is_pinned(first_boot, https):
    tls, pin = https

    status, told, _ = first_boot(refusals=0, tries=1, tls=tls, pin=pin)

    assert (status, len(told)) == (0, 1)


@pytest.mark.parametrize("pin", [PIN, ""])
def test_a_first_boot_by_https_tells_nobody_else(first_boot, https, pin):
    status, told, _ = first_boot(refusals=0, tries=1, tls=https[0], pin=pin)

    assert (status, told) == (1, [])
