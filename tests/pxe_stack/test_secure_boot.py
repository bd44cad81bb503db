"""The names that a chain of signed loaders asks for, and who is started by one."""

from dataclasses import replace

import pytest

from models.phases import Phase
from pxe_stack import firmware
from pxe_stack.dhcp_boot import Server, boot_of
from pxe_stack.directory import Known
from pxe_stack.loaders import Loaders
from pxe_stack.packets import Kind, Option, Request
from tests.pxe_stack import make

SERVER = Server(address="10.77.0.1", tftp="10.77.0.1", boot_url=make.URL, key=make.KEY)
KNOWN = Known(plan=make.plan(), phase=Phase.PXE_READY, authority=True)
SIGNED = {
    "shimx64.efi.signed": b"a shim",
    "shimx64.efi": b"the same without a signature",
    "grubnetx64.efi.signed": b"a GRUB",
    "mmx64.efi.signed": b"a MokManager",
}
"""What Debian's shim-signed and grub-efi-amd64-signed bring."""


@pytest.fixture
def folder(tmp_path):
    for name, data in SIGNED.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "data"),
    [
        ("shimx64.efi", b"a shim"),
        ("grubx64.efi", b"a GRUB"),
        ("\\grubx64.efi", b"a GRUB"),
        ("/efi/boot/grubx64.efi", b"a GRUB"),
        ("EFI\\BOOT\\grubx64.efi", b"a GRUB"),
        ("mmx64.efi", b"a MokManager"),
        ("\\mmx64.efi", b"a MokManager"),
    ],
)
def test_shim_finds_what_it_asks_for_beside_itself_signed(folder, asked, data):
    assert Loaders((folder,)).find(asked).data == data


@pytest.mark.parametrize(
    "asked",
    [
        "/grub/grub.cfg",
        "/grub/x86_64-efi/grub.cfg",
        "/debian-installer/amd64/grub/grub.cfg",
        "/boot/grub/grub.cfg",
        "/EFI/redhat/grub.cfg",
    ],
)
def test_grub_finds_a_configuration_that_leads_to_the_machines_own(folder, asked):
    config = Loaders((folder,)).find(asked).data

    assert b"source /grub/grub.cfg-01-${net_default_mac}\n" in config


@pytest.mark.parametrize(
    "asked",
    [
        "/grub/x86_64-efi/command.lst",
        "grub.cfg/../../etc/shadow",
        "../../etc/passwd",
        "revocations.efi",
        "efi/snponly.efi",
        "mmx64.efi/",
    ],
)
def test_what_is_not_installed_or_not_in_the_table_is_not_there(folder, asked):
    assert Loaders((folder,)).find(asked) is None


def test_an_operators_own_second_stage_and_configuration_win(folder, tmp_path):
    (tmp_path / "grubx64.efi").write_bytes(b"an iPXE of ours, signed")
    (tmp_path / "sprout-grub.cfg").write_bytes(b"exit")
    loaders = Loaders((folder,))

    assert loaders.find("grubx64.efi").data == b"an iPXE of ours, signed"
    assert loaders.find("grub.cfg").data == b"exit"


class TestChoice:
    def told(self, code, *, chains=(), loaders=()):
        options = {Option.VENDOR_CLASS: b"PXEClient", Option.ARCHITECTURE: code.to_bytes(2, "big")}
        request = Request(kind=Kind.DISCOVER, xid=1, mac=make.MAC, options=options)
        known = replace(KNOWN, plan=make.plan(loaders=dict(loaders)))
        return boot_of(request, known, replace(SERVER, chains=dict(chains))).file

    def test_where_a_chain_is_installed_whole_each_machine_of_its_kind_is_started_by_it(self):
        names = ["snponly-shim.efi", "snponly.efi", "undionly.kpxe"]
        whole = firmware.chains(names, names)

        assert self.told(7, chains=whole) == "snponly-shim.efi"
        assert self.told(16, chains=whole) == f"{make.URL}/loaders/snponly-shim.efi"
        assert self.told(0, chains=whole) == "undionly.kpxe"
        assert self.told(11, chains=whole) == "ipxe-arm64.efi"

    @pytest.mark.parametrize(
        "installed", [[], ["snponly.efi"], ["snponly-shim.efi"], ["shimx64.efi", "mmx64.efi"]]
    )
    def test_where_a_part_is_missing_nobody_is(self, installed):
        assert self.told(7, chains=firmware.chains(installed, installed)) == "snponly.efi"

    def test_a_shim_with_grub_starts_machines_where_no_ipxe_is_signed(self):
        debian = ["shimx64.efi", "grubx64.efi", "mmx64.efi", "snponly.efi"]

        assert self.told(7, chains=firmware.chains(debian, debian)) == "shimx64.efi"
        both = [*debian, "snponly-shim.efi"]
        assert self.told(7, chains=firmware.chains(both, both)) == "snponly-shim.efi"

    @pytest.mark.parametrize(
        ("grub", "loader"), [(b"MZ", "snponly.efi"), (b"MZ HTTP/1.1\r\n", "shimx64.efi")]
    )
    def test_over_http_only_a_grub_that_speaks_it_is_a_second_stage(self, tmp_path, grub, loader):
        for name in ("shimx64.efi", "snponly.efi", "grubx64.efi"):
            (tmp_path / name).write_bytes(grub)
        loaders = Loaders((tmp_path,))
        chains = firmware.chains(loaders.names(), loaders.over_http())

        assert self.told(7, chains=chains) == "shimx64.efi"
        assert self.told(16, chains=chains) == f"{make.URL}/loaders/{loader}"

    def test_a_machine_may_be_given_another(self):
        names = ["snponly-shim.efi", "snponly.efi"]
        whole = firmware.chains(names, names)

        assert self.told(7, chains=whole, loaders={"uefi-x64": "shimx64.efi"}) == "shimx64.efi"
        assert self.told(7, chains=whole, loaders={"uefi-x64": "snponly.efi"}) == "snponly.efi"
        assert self.told(7, loaders={"uefi-x64": "no-such.efi"}) == "snponly.efi"


def test_every_loader_that_a_chain_or_a_kind_of_machine_names_is_in_the_table():
    named = {name for each in firmware.CHAINS.values() for chain in each for name in chain}
    named |= {arch.loader for arch in firmware.ARCHITECTURES.values()}

    assert named <= firmware.LOADERS.keys()
    assert firmware.LOADERS.keys() >= firmware.BESIDE
    assert set(firmware.CHAINS) <= {arch.name for arch in firmware.ARCHITECTURES.values()}
