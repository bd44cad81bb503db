"""Day-2 actions: what can be asked of machines, from which states, by whom, and on whose word."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from flask import Response
from pydantic import ConfigDict, Field

from edge.api import verb_forms
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Line, Page, Query, example
from models import actions, queries, roles
from models.commands import policy
from models.kinds import Kind
from models.lifecycle import State
from models.policy import Binding, Policy, consent
from models.roles import Role

api: Final = resource("day-2 actions", "What can be asked of machines, and what it takes.")


class ActionFilter(Query):
    site_id: Annotated[
        Line | None, Field(description="As policy has it at the site with this id or slug.")
    ] = None


class NeededApproval(Answer):
    """What approval policy wants: by whom, and how narrow."""

    role: Role
    four_eyes: Annotated[bool, Field(description="By another person than who asks.")]
    expires_s: Annotated[int, Field(description="Seconds that it is good for.")]
    bound_to: Binding


class DayTwoAction(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "name": "reboot",
                "description": "Switch it off, then on.",
                "states": ["active", "available"],
                "leastRole": "operator",
                "destructive": False,
                "requiresApproval": True,
                "approval": {
                    "role": "admin",
                    "fourEyes": False,
                    "expiresS": 3600,
                    "boundTo": "machine",
                },
                "parameters": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": [],
                    "properties": {},
                },
            }
        )
    )

    name: str
    description: str
    states: Annotated[list[State], Field(description="Of the machines that it is for.")]
    least_role: Role
    destructive: bool
    requires_approval: bool
    approval: NeededApproval | None
    parameters: Annotated[dict[str, Any], Field(description="JSON Schema of its parameters.")]


class DayTwoActions(Page):
    items: list[DayTwoAction]


@operation(
    api,
    "get",
    "/v1/day2-actions",
    "listDayTwoActions",
    answer=DayTwoActions,
    refuses=("not-found", "not-ready"),
    action="day2-action.read",
)
def index(query: ActionFilter) -> Response:
    """List what can be asked of machines, as policy has it now."""
    slug = "" if query.site_id is None else queries.site(query.site_id).slug
    rules = policy.in_force()
    items = [_shown(name, rules, slug) for name in actions.ACTIONS]
    return answered(DayTwoActions(items=items), HTTPStatus.OK)


def _shown(name: str, rules: Policy, slug: str) -> DayTwoAction:
    action = actions.ACTIONS[name]
    wanted = consent(rules, name, slug)
    return DayTwoAction(
        name=name,
        description=action.summary,
        states=_states(name, rules, slug),
        least_role=_least(name, rules, slug),
        destructive=action.destructive,
        requires_approval=wanted is not None,
        approval=None if wanted is None else NeededApproval.of(wanted),
        parameters=_parameters(name, rules, slug),
    )


def _parameters(name: str, rules: Policy, slug: str) -> dict[str, Any]:
    """Return the schema of an action's parameters; a command's examples are what is allowed."""
    schema = verb_forms.schema(verb_forms.FORMS[name])
    if name == Kind.REMOTE_TASK:
        listed = rules.commands_at(slug)
        properties = schema["properties"]
        properties["command"] = properties["command"] | {"examples": list(listed.texts)}
    return schema


def _states(name: str, rules: Policy, slug: str) -> list[State]:
    able, rule = actions.ACTIONS[name].states, rules.rule(name, slug)
    return sorted(able if rule is None or rule.states is None else able & rule.states)


def _least(name: str, rules: Policy, slug: str) -> Role:
    least, rule = roles.LEAST[f"machine.{name}"].role, rules.rule(name, slug)
    return max(least, (rule and rule.role) or least, key=roles.ORDER.index)
