"""Installer ISOs as the vendor lays them out, small."""

import io

import pycdlib
import zstandard

KERNEL = b"MZ kernel " * 9_000
INITRD = b"070701 an initrd " * 20_000
ABOUT = "ISONAME='proxmox-ve'\nPRODUCT='pve'\nRELEASE='{release}'\nISORELEASE='1'\n"
BASE = b"base package " * 5_000


def an_iso(path, *, release="9.1", initrd=None, rock_ridge="1.09", more=(), without=()):
    """Write an ISO as the vendor lays it out: .cd-info, /boot, /proxmox and what is in *more*."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge=rock_ridge, vol_ident="PVE")
    iso.add_directory("/BOOT", rr_name="boot" if rock_ridge else None)
    packed = zstandard.ZstdCompressor().compress(INITRD) if initrd is None else initrd
    files = {
        ("/CDINFO.;1", ".cd-info"): ABOUT.format(release=release).encode(),
        ("/PVECDID.TXT;1", ".pve-cd-id.txt"): b"2b8f8c5e\n",
        ("/BOOT/LINUX26.;1", "linux26"): KERNEL,
        ("/BOOT/INITRD.IMG;1", "initrd.img"): packed,
        ("/PVEBASE.SQF;1", "pve-base.squashfs"): BASE,
        **dict(more),
    }
    for (name, real), body in files.items():
        if real not in without:
            iso.add_fp(io.BytesIO(body), len(body), name, rr_name=real if rock_ridge else None)
    iso.write(str(path))
    iso.close()
    return path


def content(path, name):
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    with iso.open_file_from_iso(rr_path=name) as file:
        found = file.read()
    iso.close()
    return found
