"""Which pages there are, and what all of them share."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from flask import Blueprint, Flask

from edge.pages import (
    allocating,
    asking,
    consents,
    discovered,
    entering,
    fleet,
    flows,
    frame,
    hosts,
    isos,
    jobs,
    ledger,
    machine,
    places,
    shelves,
)
from models.database import borrowed

BLUEPRINTS: Final[tuple[Blueprint, ...]] = (
    fleet.blueprint,
    machine.blueprint,
    hosts.blueprint,
    asking.blueprint,
    allocating.blueprint,
    entering.blueprint,
    flows.blueprint,
    discovered.blueprint,
    consents.blueprint,
    places.blueprint,
    shelves.blueprint,
    jobs.blueprint,
    isos.blueprint,
    ledger.blueprint,
)


def install(app: Flask) -> None:
    """Serve the pages: each view runs with a database connection, as those of /v1 do."""
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
        for name, view in app.view_functions.items():
            if name.startswith(f"{blueprint.name}."):
                app.view_functions[name] = _lent(view)
    app.context_processor(lambda: {"frame": frame.around})
    app.jinja_env.filters.update(frame.FILTERS)


def _lent(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def lent(**path: Any) -> Any:
        with borrowed():
            return view(**path)

    return lent
