"""The running edge against its own contract: whatever is sent, it answers as it says it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge import make
from tests.edge.conftest import TOKEN, serving

EXAMPLES = int(os.environ.get("SCHEMATHESIS", "2"))
"""Cases of each operation and phase."""

SECONDS = int(os.environ.get("SCHEMATHESIS_S", "45"))
"""For fuzzing and sequences of calls; by hand more of both."""

MEANT = Path(__file__).with_name("meant.py")
"""What the contract says in words."""

ENDLESS = "/events"
"""A stream, which another process answers."""


@pytest.fixture
def edge(settings, tmp_path):
    with serving(settings, tmp_path) as served:
        yield served


@pytest.mark.services
@pytest.mark.timeout(SECONDS + 120)
def test_no_request_gets_an_answer_that_the_contract_does_not_know(edge, api, tmp_path):
    site = api.made("/v1/sites", make.site())
    api.made("/v1/machines", make.machine(site["id"]))
    (tmp_path / "schemathesis.toml").write_text(f'hooks = "{MEANT}"\n')
    tool = Path(sys.executable).with_name("schemathesis")
    words = (
        *("run", f"{edge.url}/v1/openapi.json", "--checks", "all"),
        *("--max-examples", str(EXAMPLES), "--workers", "1", "--seed", "1"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--continue-on-failure"),
        *("--request-timeout", "10", "--max-time", str(SECONDS), "--no-color"),
        *("--exclude-path", ENDLESS),
    )

    done = subprocess.run(
        [tool, *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=SECONDS + 90,
    )

    assert done.returncode == 0, done.stdout[-20_000:]
