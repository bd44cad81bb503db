"""How a person has machines handed out at a site: so many, or none."""

from typing import Final

from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue

from edge.access import does
from edge.api import machine_verbs, verb_forms
from edge.pages import forms, frame
from edge.pages.forms import Field, Form
from models import policy as rules
from models import queries
from models.actions import ACTIONS, ALLOCATE
from models.commands import policy
from models.discoveries import ARCHITECTURES
from models.views import SiteView

blueprint: Final = Blueprint("allocating", __name__)

_FIELDS: Final = (
    Field(pointer="/count", label="How many", kind="number", value="1", required=True),
    Field(
        pointer="/labels",
        label="With these labels",
        kind="pairs",
        hint="name=value, one a line; all of them.",
    ),
    Field(
        pointer="/architecture",
        label="Architecture",
        kind="select",
        options=[("", "any"), *((each, each) for each in ARCHITECTURES)],
    ),
    Field(pointer="/minMemoryMib", label="Memory at least, in MiB", kind="number"),
    Field(pointer="/minDiskBytes", label="Largest disk at least, in bytes", kind="number"),
    Field(pointer="/reason", label="Reason", hint="Kept in the audit."),
)


@blueprint.route("/sites/<site>/allocate", methods=["GET", "POST"])
@does("machine.allocate")
def allocate(site: str) -> ResponseReturnValue:
    """Hand out machines of a site that are free."""
    at = queries.site(site)
    form = Form(fields=_FIELDS)
    command = f"sprout machines allocate --site-id {at.slug} --count 1"
    more = {
        "title": "Allocate machines",
        "crumbs": (
            ("Sites", url_for("places.index")),
            (at.slug, url_for("places.show", site=at.slug)),
        ),
        "what": _what(at),
        "button": "Allocate",
        "commands": frame.commands("/v1/machines/allocate", command),
    }
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        body = forms.sent(_FIELDS, verb_forms.WantedMachines, siteId=str(at.id))
        machine_verbs.allocate(body)
        return Response(headers={"Location": "/"})

    allocated = url_for("fleet.index", siteId=at.slug, state="allocated")
    return forms.answered("new.html", form, ask, lambda _: allocated, **more)


def _what(site: SiteView) -> str:
    """Return what will happen, how many machines are free, and what policy says of it now."""
    counts = queries.counts(site.id)
    free = sum(counts[state] for state in ACTIONS[ALLOCATE].states)
    wanted = rules.consent(policy.in_force(), ALLOCATE, site.slug)
    judged = "" if wanted is None else f" Policy wants an approval by an {wanted.role}."
    return (
        f"As many as are asked for are handed out, or none. Nothing is powered or written. "
        f"{free} machines of {site.slug} are free now.{judged}"
    )
