"""When is a built image still the one that would be built now?  A hash of all that goes into it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pxe_stack import cpio, scripts

RECIPE_FOLDER: Final = Path(__file__).parent
TEMPLATES: Final = ("installers/disks.sh", "grub/local-boot.cfg")
"""What of the boot plane's templates goes in, too."""


def content_key(files: Iterable[tuple[str, bytes]], packages: Iterable[str]) -> str:
    """Return one hexadecimal name for these recipe *files* (path, content) and *packages*.

    The order of the arguments does not matter; every byte, name and version does.
    """
    digest = hashlib.sha256()
    for path, content in sorted(files):
        digest.update(f"file {path} {hashlib.sha256(content).hexdigest()}\n".encode())
    for package in sorted(packages):
        digest.update(f"package {package}\n".encode())
    return digest.hexdigest()


def recipe_files(folder: Path = RECIPE_FOLDER) -> list[tuple[str, bytes]]:
    """Return each file of the recipe: this package, what writes archives, templates."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    own = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]
    own.append(("cpio.py", Path(cpio.__file__).read_bytes()))
    return [*own, *((f"templates/{name}", scripts.template(name).encode()) for name in TEMPLATES)]


def index_digest(lists: Path = Path("/var/lib/apt/lists")) -> str:
    """Return a hash of what apt knows: while it is the same, so is every answer of apt."""
    digest = hashlib.sha256()
    for path in sorted(lists.glob("*Release")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
