"""A sample of `make fuzz`, and what it has found before."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fuzz.__main__ import PROTOCOLS, fuzzed

CASES = 20_000


@pytest.mark.services
def test_no_hostile_request_raises_hangs_or_leaves_anything_open():
    with ThreadPoolExecutor(len(PROTOCOLS)) as pool:
        results = list(pool.map(lambda protocol: fuzzed(protocol, CASES), PROTOCOLS))

    assert [result.line() for result in results if result.failure] == []
    assert [result.runs for result in results] == [CASES] * len(PROTOCOLS)
