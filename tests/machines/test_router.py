"""iPXE's 16 seconds: what a real firmware gains when the site answers its solicitation."""

import pytest

from tests.bench import router

pytestmark = pytest.mark.machines


@pytest.mark.timeout(4 * router.LIMIT_S)
def test_a_machine_boots_sooner_where_the_site_says_that_there_is_no_router(tmp_path):
    waited = router.seconds(tmp_path / "without", answer_rs=False)
    answered = router.seconds(tmp_path / "with", answer_rs=True)

    assert waited - answered >= router.SAVED_S, (waited, answered)
