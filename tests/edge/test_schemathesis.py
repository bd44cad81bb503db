"""The running edge against its own contract: whatever is sent, it answers as it says it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge import make
from tests.edge.conftest import TOKEN, serving

EXAMPLES = int(os.environ.get("SCHEMATHESIS", "5"))
"""Cases of each operation and phase."""

SECONDS = int(os.environ.get("SCHEMATHESIS_S", "60"))
"""For fuzzing and sequences of calls; by hand more of both."""

EXCEPT = "^(listEvents|getBlob|putBlob)$"
"""What waits, or moves bytes instead of JSON: they have suites of their own."""

LEFT_OUT = "positive_data_acceptance,use_after_free,allow_header_conformance"
"""A text in a query is read as what it says; a deletion answers what it was; and Allow of
/v1/machines/allocate tells of a machine of that name too, which its URL could be."""


SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429, "5xx"]
"""
"""Theirs, and 412: what does not fit If-Match is refused, whatever the body holds."""


@pytest.fixture
def edge(settings, tmp_path):
    with serving(settings, tmp_path) as served:
        yield served


@pytest.mark.services
@pytest.mark.timeout(SECONDS + 120)
def test_no_request_gets_an_answer_that_the_contract_does_not_know(edge, api, tmp_path):
    site = api.made("/v1/sites", make.site())
    api.made("/v1/machines", make.machine(site["id"]))
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    tool = Path(sys.executable).with_name("schemathesis")
    words = (
        *("run", f"{edge.url}/v1/openapi.json", "--checks", "all"),
        *("--exclude-checks", LEFT_OUT, "--exclude-operation-id-regex", EXCEPT),
        *("--max-examples", str(EXAMPLES), "--workers", "2", "--seed", "1"),
        *("--header", f"Authorization: Bearer {TOKEN}", "--continue-on-failure"),
        *("--request-timeout", "10", "--max-time", str(SECONDS), "--no-color"),
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
