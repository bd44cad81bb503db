"""Installers' ISOs: uploaded or pointed at, how far each is, what came of it, and forgotten."""

from typing import Final
from uuid import UUID

from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.access import does, may
from edge.api import image_preparations as views
from edge.pages import forms, frame, listing
from edge.pages.forms import Field, Form
from edge.pages.jobs import OPEN, TONES
from models import queries
from models.commands import preparing
from models.job_views import PreparationView

blueprint: Final = Blueprint("isos", __name__)

_ROUTE: Final = "/v1/image-preparations"

_NEW: Final = (
    Field(
        pointer="/ref",
        label="Reference",
        required=True,
        hint="The image is named by it, as proxmox-9. It stays.",
    ),
    Field(pointer="/name", label="Name", required=True, hint="For people."),
    Field(
        pointer="/isoSha256",
        label="SHA-256 of an ISO that was uploaded",
        hint="Filled in by the upload above.",
    ),
    Field(
        pointer="/isoPath",
        label="Or its path on the server",
        hint="Below the folder of artifacts.",
    ),
)


@blueprint.get("/isos")
@does("image-preparation.read")
def index() -> ResponseReturnValue:
    """Show what was made of ISOs, the newest first."""
    wanted = listing.wanted(views.PreparationFilter, "image-preparation.read")
    found = preparing.preparations(state=wanted.query.state, ask=wanted.query.ask())
    return render_template(
        "isos.html",
        wanted=wanted,
        found=found,
        following=wanted.after(found.next),
        tones=TONES,
        shares={each.id: _share(each) for each in found},
        may_create=may("image-preparation.create"),
        commands=frame.commands(_ROUTE, "sprout isos list", wanted.given),
    )


@blueprint.get("/isos/<uuid:preparation>")
@does("image-preparation.read")
def show(preparation: UUID) -> ResponseReturnValue:
    """Show one: how far it is, what came of it, the way to forget it."""
    view = preparing.preparation(preparation)
    is_open = view.state in OPEN
    return render_template(
        "iso.html",
        view=view,
        tone=TONES[view.state],
        open=is_open,
        share=_share(view),
        image=None if view.image_id is None else queries.image(view.image_id),
        may_delete=not is_open and may("image-preparation.delete"),
        commands=frame.commands(f"{_ROUTE}/{view.id}", f"sprout isos show {view.id}"),
    )


def _share(view: PreparationView) -> int | None:
    """Return how many of a hundred parts are done; None: nobody knows."""
    return min(100, 100 * view.bytes_done // view.bytes_total) if view.bytes_total else None


@blueprint.route("/new-iso", methods=["GET", "POST"])
@does("image-preparation.create")
def new() -> ResponseReturnValue:
    """Upload an ISO or name one, and have it prepared."""
    form = Form(fields=_NEW)
    more = {"commands": frame.commands(_ROUTE, "sprout isos upload FILE --ref NAME --wait")}
    if request.method == "GET":
        return forms.shown("new-iso.html", form, **more)

    def ask() -> Response:
        answer: Response = views.create(forms.sent(_NEW, views.NewPreparation))
        return answer

    return forms.answered("new-iso.html", form, ask, _at, **more)


@blueprint.route("/isos/<uuid:preparation>/delete", methods=["GET", "POST"])
@does("image-preparation.delete")
def delete(preparation: UUID) -> ResponseReturnValue:
    """Forget one, after its reference was typed."""
    view = preparing.preparation(preparation)
    form = Form(
        fields=[Field(pointer=forms.TYPED, label="Its reference, to be sure", required=True)]
    )
    more = {
        "title": f"Delete the ISO of {view.ref}?",
        "crumbs": (("ISOs", url_for("isos.index")), (view.ref, _at(str(view.id)))),
        "what": "The image is forgotten, if no machine has it, and the files that were made of"
        " the ISO are deleted. So is the ISO itself, if it was uploaded.",
        "button": f"Delete {view.ref}",
        "commands": frame.commands(f"{_ROUTE}/{view.id}", f"sprout isos delete {view.id}"),
    }
    if request.method == "GET":
        return forms.shown("new.html", form, **more)

    def ask() -> Response:
        forms.demand_typed(view.ref, "reference")
        views.delete(views.PreparationRef(preparation=preparation))
        return Response(headers={"Location": "/"})

    return forms.answered("new.html", form, ask, lambda _: url_for("isos.index"), **more)


def _at(preparation: str) -> str:
    return url_for("isos.show", preparation=preparation)
