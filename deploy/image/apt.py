"""Questions to this machine's apt, and packages from its own sources: no registry is named here."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from deploy.image import recipe

KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"

# An empty list of installed packages: what this machine has must not change the answer.
_NOTHING_INSTALLED: Final = ("-o", "Dir::State::status=/dev/null")


class Unavailable(Exception):
    """This machine's apt cannot give what the image is made of.  Says what to do."""


def sources() -> str:
    """Return the sources of Debian 12 that this machine is configured with, as sources.list lines.

    Raises Unavailable when it has none.
    """
    asked = "$(REPO_URI) $(CODENAME) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    listed = _run("apt-get", "indextargets", "--format", asked, "Created-By: Packages")
    lines = source_lines(listed.splitlines())
    if not lines:
        raise Unavailable(
            f"apt knows no source of Debian {recipe.SUITE}: add one to /etc/apt/sources.list.d "
            "and run 'apt-get update'"
        )
    return "".join(f"{line}\n" for line in lines)


def source_lines(targets: Iterable[str]) -> list[str]:
    """Return one "deb" line for each of apt's index *targets* that is Debian's own, of our suite.

    A target is "<uri> <codename> <release> <component> <origin>", as sources() asks for them.
    """
    lines = []
    for target in targets:
        uri, codename, release, component, origin = target.split(" ", 4)
        if origin == "Debian" and codename.partition("-")[0] == recipe.SUITE:
            lines.append(f"deb [signed-by={KEYRING}] {uri} {release} {component}")
    return sorted(set(lines))


def kernel_package(kind: str = recipe.KERNEL) -> str:
    """Return the name of the newest kernel's package of that *kind*, with its version in it."""
    for line in _run("apt-cache", "depends", "--important", kind).splitlines():
        relation, _, name = line.strip().partition(": ")
        if relation == "Depends" and name.startswith("linux-image-"):
            return name
    raise Unavailable(f"apt knows no {kind}: run 'apt-get update'")


def closure(names: Sequence[str]) -> list[str]:
    """Return file names (name_version_architecture.deb) of *names* and all that they need."""
    listed = _run(
        *("apt-get", *_NOTHING_INSTALLED, "-o", "APT::Install-Recommends=false"),
        *("-qq", "--print-uris", "install", "?essential", "apt", *names),
    )
    return sorted(line.split()[1] for line in listed.splitlines())


def unpack(names: Sequence[str], folder: Path) -> None:
    """Download *names* and unpack them into *folder*, without installing them."""
    downloads = folder.with_name(f"{folder.name}.debs")
    downloads.mkdir()
    # The sandboxed user of apt cannot write into a folder of root.
    _run("apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", *names, cwd=downloads)
    for package in sorted(downloads.glob("*.deb")):
        _run("dpkg-deb", "-x", str(package), str(folder))


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)
    if done.returncode != 0:
        raise Unavailable(f"'{' '.join(command)}' failed: {done.stderr.strip()}")
    return done.stdout
