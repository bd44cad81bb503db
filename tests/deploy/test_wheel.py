import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ("edge", "actors", "pxe_stack", "models", "config")
TOOLS = {"deploy", "tests"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in the wheel of what git would hand to another."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", *SHIPPED, "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(lambda name: (ROOT / name).exists(), listed.stdout.splitlines()):
        copy = folder / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    subprocess.run([*command, folder / "source"], check=True, timeout=100)
    (built,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


@pytest.mark.services
def test_wheel_has_every_file_of_the_product(wheel):
    tracked = subprocess.run(
        ["git", "ls-files", *SHIPPED], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert {name for name in tracked if (ROOT / name).exists()} - wheel == set()


@pytest.mark.services
def test_wheel_has_no_tool_of_the_checkout(wheel):
    assert {name.split("/")[0] for name in wheel} & TOOLS == set()


@pytest.mark.services
def test_checkout_finds_its_tools_from_any_folder(tmp_path):
    subprocess.run([sys.executable, "-c", "import deploy.rack"], cwd=tmp_path, check=True)
