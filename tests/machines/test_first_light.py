"""`sprout up --rack 1 --once`: real firmware, real services, from power-off to active."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import process

pytestmark = pytest.mark.machines

ROOT = Path(__file__).parents[2]
SPROUT = ROOT / ".venv" / "bin" / "sprout"
LIMIT_S = 600
STOP_S = 60
END = 4000
"""Characters of each log that a failure shows."""


@pytest.fixture(scope="module")
def image_cache(tmp_path_factory):
    """The image, built once for all machines."""
    cache = tmp_path_factory.mktemp("image-cache")
    words = [sys.executable, "-m", "deploy.image", "--cache", str(cache), "--output"]
    subprocess.run([*words, str(cache / "out")], check=True, cwd=ROOT, timeout=LIMIT_S)
    return cache


@pytest.fixture
def environment(image_cache, tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "image-cache").symlink_to(image_cache)
    return {
        **os.environ,
        "SPROUT_DATA_DIR": str(data),
        "SPROUT_BIND": f"127.0.0.1:{process.free_ports(1)[0]}",
    }


def remains(data):
    """Return what is left of a start: processes that bear its mark, and namespaces."""
    mark = f"SPROUT_UP_FOLDER={data}".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in each.read_bytes():
                found.append(each.parent.name)
        except OSError:
            continue
    return found


def once(firmware, environment):
    """Return the exit status and what was said; one that takes too long is interrupted."""
    words = [str(SPROUT), "up", "--rack", "1", "--firmware", firmware, "--once"]
    child = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _, said = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=STOP_S)
        return None, f"{said}\n(interrupted after {LIMIT_S} s)"
    return child.returncode, said


def told(data, said):
    """Return what was said, and the ends of all logs and of the machines' serial lines."""
    logs = (log for log in sorted(Path(data).rglob("*.log")) if "postgres/data" not in str(log))
    ends = (f"--- {log}\n{log.read_text(errors='replace')[-END:]}" for log in logs)
    return "\n".join((said, *ends))


@pytest.mark.timeout(LIMIT_S + STOP_S + 60)
@pytest.mark.parametrize(
    ("firmware", "broker"), [("bios", "postgres"), ("uefi", "")], ids=["bios", "uefi"]
)
def test_a_machine_is_led_from_power_off_to_active_and_nothing_is_left_behind(
    environment, firmware, broker
):
    before = set(Path("/run/netns").glob("*"))

    status, said = once(firmware, {**environment, "SPROUT_BROKER": broker})

    assert status == 0, told(environment["SPROUT_DATA_DIR"], said)
    assert "all machines are active" in said
    assert ("embedded queue" in said) == bool(broker)
    assert remains(environment["SPROUT_DATA_DIR"]) == []
    mine = {p for p in set(Path("/run/netns").glob("*")) - before if p.name.startswith("sprout-")}
    assert not [p for p in mine if not _of_others(p)]


def _of_others(namespace):
    """Whether the namespace has processes: ours have ended, so they are another run's."""
    listed = subprocess.run(
        ["ip", "netns", "pids", namespace.name], capture_output=True, text=True, check=False
    )
    return bool(listed.stdout.strip())
