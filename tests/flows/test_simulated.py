"""`sprout up --rack N` where no firmware can be run: as any user, on either broker, to the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.rack.simulated import writes
from edge.cli.local.folder import Folder

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
NOBODY = 65534
RUN = "import sys; from edge.cli.main import run; sys.argv[0] = 'sprout'; run()"


def as_nobody(data):
    """Be a normal user, who may read what root has closed: this checkout may lie below /root."""
    if os.geteuid() != 0:
        return ()
    os.chown(data, NOBODY, NOBODY)
    become = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    # access(2) knows of that only with no_setuid_fixup: capabilities(7).
    return (*become, *reading, "--securebits=+no_setuid_fixup")


def up(folder, *words, **env):
    """Run `sprout up --once` as a normal user; return what it said and where its data lies."""
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    port = Folder(folder / "ports").port("edge")
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
    ours = {"SPROUT_DATA_DIR": str(data), "SPROUT_BIND": f"127.0.0.1:{port}"}
    command = [*as_nobody(data), sys.executable, "-c", RUN, "up", "--once", *words]
    done = subprocess.run(
        command,
        env={**base, **ours, **env},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    return done, data


def test_two_simulated_machines_come_to_active_by_rabbitmq(tmp_path):
    done, data = up(tmp_path, "--rack", "2", "--simulated")

    assert done.returncode == 0, done.stderr
    assert "the machines are SIMULATED" in done.stderr
    assert "all machines are active (simulated)" in done.stderr
    assert "phoned home" in done.stderr
    rack = json.loads((data / "rack-simulated" / "rack.json").read_text())
    posts = [each for each in writes.read(Path(rack["writes"])) if each.method == "POST"]
    powered = [each.machine for each in posts if each.governs]
    assert sorted(powered) == ["r1", "r2"]


def test_where_no_firmware_can_be_run_the_machines_are_simulated_and_that_is_said(tmp_path):
    first, _ = up(tmp_path, "--rack", "1", SPROUT_BROKER="postgres")
    again, _ = up(tmp_path, "--rack", "1", SPROUT_BROKER="postgres")

    for done in (first, again):
        assert done.returncode == 0, done.stderr
        assert "no machine with real firmware can be run here:" in done.stderr
        assert "the machines are SIMULATED" in done.stderr
    assert "active already: powering it on from its disk" in again.stderr


def test_many_machines_are_led_at_once_and_counted(tmp_path):
    done, _ = up(tmp_path, "--rack", "5", "--simulated", "--speed", "5", SPROUT_BROKER="postgres")

    assert done.returncode == 0, done.stderr
    assert "5 active" in done.stderr
    assert "provisioned 5 machines: p50" in done.stderr
