"""What is asked over REST is asked by message too: the same verbs, with the same parameters."""

import pytest

from edge.api import verb_forms
from models import automation
from models.actions import ACTIONS, ALLOCATE
from models.commands.automation import _VERBS

OF_MACHINES = sorted(ACTIONS.keys() - {ALLOCATE})  # that one is asked of a site


def test_every_verb_of_rest_has_a_command_and_every_command_is_done():
    commands = {f"machine.{verb}" for verb in OF_MACHINES}

    assert commands | {"workflow.cancel"} == set(automation.FORMS) == set(_VERBS)


@pytest.mark.parametrize("verb", OF_MACHINES)
def test_a_command_takes_the_parameters_that_its_verb_takes_over_rest(verb):
    rest = verb_forms.schema(verb_forms.FORMS[verb])["properties"]

    form = automation.FORMS[f"machine.{verb}"]

    assert set(rest) | {"approvalId"} == set(form.all)
