"""ISOs that would take whoever reads them too long, or too much memory, are told before."""

import os
import shutil
import struct
import subprocess

import pytest

from actors.drivers import installer_iso, iso_bounds
from actors.drivers.errors import Refused
from tests.actors.installer_isos import ABOUT, BASE, INITRD, KERNEL, an_iso

SECTOR = 2048
PVD, AFTER = 16 * SECTOR, 17 * SECTOR
BLOCK_SIZE, PATHS, ROOT = PVD + 128, PVD + 132, PVD + 156
MOST_READ = 6 << 20


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return an_iso(tmp_path_factory.mktemp("iso") / "good.iso").read_bytes()


def both(number):
    """A number as directories have it: in both orders of bytes."""
    return struct.pack("<L", number) + struct.pack(">L", number)


def record(raw, name):
    """Where the directory record of *name* begins."""
    at = raw.find(name)
    while raw[at - 1] != len(name):
        at = raw.index(name, at + 1)
    return at - 33


def over(raw, at, piece):
    return raw[:at] + piece + raw[at + len(piece) :]


def led(raw, name, *, block=None, length=None):
    """*raw* with another place, or another length, of what is called *name*."""
    at = record(raw, name)
    raw = raw if block is None else over(raw, at + 2, both(block))
    return raw if length is None else over(raw, at + 10, both(length))


def entry(name, block, length, *, folder=False):
    size = 33 + len(name) + (33 + len(name)) % 2
    head = bytes([size, 0]) + both(block) + both(length) + bytes(7) + bytes([2 if folder else 0])
    return (head + bytes(6) + bytes([len(name)]) + name).ljust(size, b"\0")


def in_sectors(*pieces):
    return b"".join(piece.ljust(-(-len(piece) // SECTOR) * SECTOR, b"\0") for piece in pieces)


def appended(raw, name, folder, length=None):
    """*raw* with *folder* behind it, as what the directory *name* holds."""
    block = len(raw) // SECTOR
    folder = in_sectors(folder)
    return led(raw, name, block=block, length=length or len(folder)) + folder


def deep(raw):
    first = len(raw) // SECTOR
    folders = [entry(b"D", first + n + 1, SECTOR, folder=True) for n in range(80)]
    return led(raw, b"BOOT", block=first, length=SECTOR) + in_sectors(*folders, b"")


def many(raw):
    sector = b"".join(entry(b"%02d" % number, 0, 0) for number in range(56)).ljust(SECTOR, b"\0")
    return appended(raw, b"BOOT", sector * 2100)


def overlapping(raw):
    files = [entry(b"%03d" % n, n, len(raw) - n * SECTOR) for n in range(20, 40)]
    return appended(raw, b"BOOT", b"".join(files))


def scattered(raw, length=28):
    block = len(raw) // SECTOR
    piece = b"CE\x1c\x01" + both(block) + both(0) + both(length)
    return over(raw, raw.index(b"CE\x1c\x01"), piece) + in_sectors(piece)


def endless_catalogue(raw):
    boot = b"\0CD001\1EL TORITO SPECIFICATION".ljust(71, b"\0")
    told = boot + struct.pack("<L", len(raw) // SECTOR)
    return over(raw, AFTER, told.ljust(SECTOR, b"\0")) + b"\x88" * SECTOR * 4


HOSTILE = {
    "cut-off": (lambda raw: raw[:-1], "cut off: it says that it has"),
    "a-file-beyond": (lambda raw: led(raw, b"LINUX26.;1", length=1 << 31), "cut off: a file"),
    "a-file-far-away": (lambda raw: led(raw, b"LINUX26.;1", block=1 << 31), "cut off: a file"),
    "a-folder-of-gigabytes": (lambda raw: led(raw, b"BOOT", length=0xFFFFF800), "cut off: a file"),
    "a-circle": (
        lambda raw: led(raw, b"BOOT", block=struct.unpack_from("<L", raw, ROOT + 2)[0]),
        "circle",
    ),
    "too-deep": (deep, "too deep"),
    "a-million-names": (many, "directories have more than"),
    "files-over-one-another": (overlapping, "overlap"),
    "names-that-never-end": (scattered, "scattered"),
    "a-name-of-gigabytes": (lambda raw: scattered(raw, 1 << 31), "scattered"),
    "a-path-table-of-gigabytes": (lambda raw: over(raw, PATHS, both(1 << 31)), "path table"),
    "small-blocks": (lambda raw: over(raw, BLOCK_SIZE, b"\0\2\2\0"), "blocks"),
    "endless-descriptors": (
        lambda raw: raw[:AFTER] + raw[PVD:AFTER] * 500 + raw[AFTER:],
        "volume descriptors",
    ),
    "no-descriptor": (lambda raw: over(raw, PVD, b"\1XX001"), "no volume descriptor"),
    "another-file-system": (lambda raw: over(raw, AFTER + SECTOR, b"\0BEA01\1"), "UDF"),
    "an-endless-boot-catalogue": (endless_catalogue, "boot catalogue"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_hostile_or_damaged_is_told_after_a_look_at_little_of_it(good, tmp_path, case):
    make, words = HOSTILE[case]
    raw, looked = make(good), []

    def read(at, length):
        looked.append(len(raw[at : at + length]))
        return raw[at : at + length]

    with pytest.raises(Refused, match=words):
        iso_bounds.demand(read, len(raw))
    (path := tmp_path / "bad.iso").write_bytes(raw)
    with pytest.raises(Refused, match=words):
        installer_iso.about(path)

    assert sum(looked) < MOST_READ


@pytest.mark.parametrize("tenth", range(10))
def test_an_iso_that_is_cut_off_anywhere_is_refused_before_anything_is_made_of_it(
    good, tmp_path, tenth
):
    (path := tmp_path / "cut.iso").write_bytes(good[: len(good) * tenth // 10])

    with pytest.raises(Refused):
        installer_iso.made(path, tmp_path)

    assert [each.name for each in tmp_path.iterdir()] == ["cut.iso"]


def test_as_many_names_as_may_be_are_read(good, tmp_path):
    names = b"".join(entry(b"%06d" % number, 0, 0) for number in range(48)).ljust(SECTOR, b"\0")
    (path := tmp_path / "many.iso").write_bytes(appended(good, b"BOOT", names))

    ends = []

    def read(at, length):
        ends.append(at + length)
        return path.read_bytes()[at : at + length]

    iso_bounds.demand(read, path.stat().st_size)

    assert max(ends) > len(good)


@pytest.fixture
def tree(tmp_path):
    """What the vendor's ISO holds, small: long names, links, and folders in folders."""
    made = tmp_path / "tree"
    files = {
        ".cd-info": ABOUT.format(release="9.1").encode(),
        "boot/linux26": KERNEL,
        "boot/initrd.img": INITRD,
        "pve-base.squashfs": BASE,
        **{
            f"proxmox/packages/{'long-' * 30}{n}_1.2+deb13u1_amd64.deb": b"%d" % n
            for n in range(300)
        },
        **{"/".join(["dists", *"abcdefghijkl", f"file{n}"]): b"deep" for n in range(3)},
    }
    for name, body in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(body)
    (made / "dists/link").symlink_to("../proxmox")
    os.link(made / "pve-base.squashfs", made / "again.squashfs")
    return made


def test_an_iso_by_the_program_that_the_vendor_makes_its_own_with_is_taken_apart(tree, tmp_path):
    source = tmp_path / "source.iso"
    words = ["grub-mkrescue", "-o", source, tree, "--", "-volid", "PVE"]
    subprocess.run(words, check=True, capture_output=True)
    (folder := tmp_path / "made").mkdir()

    found = installer_iso.made(source, folder)

    assert (found.about.release, (folder / "vmlinuz").read_bytes()) == ("9.1-1", KERNEL)
    back = tmp_path / "back"
    words = ["xorriso", "-osirrox", "on", "-indev", folder / "proxmox.iso", "-extract", "/", back]
    subprocess.run(words, check=True, capture_output=True)
    for path in (tree / "boot/linux26", tree / "boot/initrd.img"):
        path.unlink()
    for path in (path for path in tree.rglob("*") if path.is_file()):
        assert (back / path.relative_to(tree)).read_bytes() == path.read_bytes()
    assert (back / "dists/link").readlink().as_posix() == "../proxmox"
    assert (back / "auto-installer-mode.toml").stat().st_size == installer_iso.SLOT
    subprocess.run(["chmod", "-R", "u+w", back], check=True)
    shutil.rmtree(back)
