"""axe-core, fetched once from the configured npm registry and held to its published hash."""

import base64
import hashlib
import os
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="


def script() -> str:
    """Return axe-core's text; it defines `axe` in the page that evaluates it."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = caches / "sprout-tests" / f"axe-core-{VERSION}.tgz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=kept.parent) as folder:
            _fetched(Path(folder)).replace(kept)
    _check(kept)
    with tarfile.open(kept) as archive:
        found = archive.extractfile("package/axe.min.js")
        assert found is not None
        return found.read().decode()


def _fetched(folder: Path) -> Path:
    command = ["npm", "pack", f"axe-core@{VERSION}", "--silent"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=100)
    (package,) = folder.glob("*.tgz")
    return package


def _check(package: Path) -> None:
    found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    assert found == SHA512, f"{package} is not axe-core {VERSION} as published: remove it"
