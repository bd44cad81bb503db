"""Installer ISOs, taken apart and made ready: built here in the layout that the vendor's has."""

import gzip
import hashlib

import pytest
import zstandard

from actors.drivers import installer_iso
from actors.drivers.errors import Refused
from tests.actors.installer_isos import BASE, INITRD, KERNEL, an_iso, content


@pytest.fixture
def source(tmp_path):
    return an_iso(tmp_path / "source.iso")


@pytest.fixture
def folder(tmp_path):
    (made := tmp_path / "made").mkdir()
    return made


def test_kernel_initrd_and_iso_come_out_as_a_netboot_wants_them(source, folder):
    before = source.read_bytes()

    found = installer_iso.made(source, folder)

    assert (folder / "vmlinuz").read_bytes() == KERNEL
    assert gzip.decompress((folder / "initrd.img").read_bytes()) == INITRD
    assert content(folder / "proxmox.iso", "/pve-base.squashfs") == BASE
    assert content(folder / "proxmox.iso", "/.pve-cd-id.txt") == b"2b8f8c5e\n"
    assert source.read_bytes() == before
    for part in (found.kernel, found.initrd, found.iso):
        raw = (folder / part.name).read_bytes()
        assert (part.size, part.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert found.iso.size < len(before)
    assert (found.about.release, found.about.number) == ("9.1-1", (9, 1))


def test_what_is_laid_over_the_slot_is_what_the_installer_reads(source, folder):
    found = installer_iso.made(source, folder)
    words = 'mode = "http"\n[http]\nurl = "http://10.0.0.1:8081/answer"\ntoken = "run:secret"\n'

    raw = bytearray((folder / "proxmox.iso").read_bytes())
    raw[found.slot_at : found.slot_at + installer_iso.SLOT] = installer_iso.slot(words)
    (folder / "served.iso").write_bytes(raw)

    assert (
        content(folder / "served.iso", "/auto-installer-mode.toml").decode().strip()
        == words.strip()
    )
    assert content(folder / "served.iso", "/pve-base.squashfs") == BASE


def test_a_mode_file_of_another_size_makes_room_for_the_slot(tmp_path, folder):
    more = {("/MODE.TOM;1", "auto-installer-mode.toml"): b'mode = "iso"\n'}
    source = an_iso(tmp_path / "with.iso", more=more)

    installer_iso.made(source, folder)

    assert len(content(folder / "proxmox.iso", "/auto-installer-mode.toml")) == installer_iso.SLOT


def test_an_initrd_that_ipxe_can_take_stays_as_it_is(tmp_path, folder):
    packed = gzip.compress(INITRD)

    installer_iso.made(an_iso(tmp_path / "gzip.iso", initrd=packed), folder)

    assert (folder / "initrd.img").read_bytes() == packed


def test_the_same_iso_makes_the_same_kernel_and_initrd_and_progress_is_told(
    source, folder, tmp_path
):
    (again := tmp_path / "again").mkdir()
    told = []

    first, second = (installer_iso.made(source, to, told.append) for to in (folder, again))

    assert (first.kernel, first.initrd) == (second.kernel, second.initrd)
    assert sum(told) >= first.kernel.size + first.initrd.size + first.iso.size


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("7.0", "gives root"),
        ("7.4", "gives root"),
        ("8.0", "gives root"),
        ("6.4", "cannot be installed unattended"),
        ("8.1", "cannot be installed unattended"),
        ("new", "no ISO of Proxmox VE"),
    ],
)
def test_releases_that_are_dangerous_or_cannot_answer_are_refused(tmp_path, release, words):
    with pytest.raises(Refused, match=words):
        installer_iso.about(an_iso(tmp_path / "old.iso", release=release))


@pytest.mark.parametrize("missing", [".cd-info", "linux26", "initrd.img"])
def test_an_iso_without_what_is_needed_is_refused_by_the_name_of_it(tmp_path, folder, missing):
    source = an_iso(tmp_path / "less.iso", without=(missing,))

    with pytest.raises(Refused, match=missing):
        installer_iso.made(source, folder)


def test_an_iso_of_something_else_is_refused(tmp_path):
    with pytest.raises(Refused, match="Rock Ridge"):
        installer_iso.about(an_iso(tmp_path / "other.iso", rock_ridge=None))


@pytest.mark.parametrize("size", [0, 100, 32_768, 33_000])
def test_what_is_cut_off_or_no_iso_at_all_is_refused(source, tmp_path, size):
    (cut := tmp_path / "cut.iso").write_bytes(source.read_bytes()[:size])

    with pytest.raises(Refused):
        installer_iso.about(cut)


def test_damage_at_any_place_is_a_refusal_or_an_iso_that_reads_and_nothing_else(source, tmp_path):
    """A reader that is led astray must neither hang nor end the process that looks at uploads."""
    whole = source.read_bytes()
    found = set()
    for place in range(32_768, 32_768 + 16 * 2048, 37):
        bad = bytearray(whole)
        bad[place] ^= 0xFF
        (path := tmp_path / "bad.iso").write_bytes(bad)
        try:
            found.add(installer_iso.about(path).product)
        except Refused:
            found.add(None)

    assert found == {"pve", None}


def test_an_initrd_that_is_damaged_is_refused(tmp_path, folder):
    packed = bytearray(zstandard.ZstdCompressor().compress(INITRD))
    packed[len(packed) // 2 :] = b"\x00" * (len(packed) - len(packed) // 2)

    with pytest.raises(Refused):
        installer_iso.made(an_iso(tmp_path / "bad.iso", initrd=bytes(packed)), folder)


def test_an_initrd_that_unpacks_without_end_is_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(installer_iso, "_LARGEST_INITRD", len(INITRD) - 1)

    with pytest.raises(Refused, match="unpacks to more"):
        installer_iso.made(an_iso(tmp_path / "bomb.iso"), folder)


def test_words_that_do_not_fit_the_slot_are_an_error():
    with pytest.raises(ValueError, match="2049 bytes"):
        installer_iso.slot("a" * 2049)
