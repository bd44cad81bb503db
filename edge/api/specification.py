"""The contract itself, generated from the code."""

from typing import Final

from flask import Blueprint, current_app, jsonify
from flask.typing import ResponseReturnValue
from flask_openapi.openapi import OpenAPI

from edge.access import does
from models import automation
from models.errors import NotFound

SCHEMAS: Final = {"automation-command": automation.schema}

blueprint: Final = Blueprint("specification", __name__)


@blueprint.get("/v1/openapi.json")
@does("contract.read")
def show() -> ResponseReturnValue:
    """Return the contract, OpenAPI 3.1."""
    assert isinstance(current_app, OpenAPI)  # noqa: S101 - for the type checker
    return jsonify(current_app.api_doc)


@blueprint.get("/schemas/<name>.json")
@does("contract.read")
def schema(name: str) -> ResponseReturnValue:
    """Return the JSON Schema of what crosses a queue."""
    if name not in SCHEMAS:
        raise NotFound(f"no schema {name}", hint=f"There are: {', '.join(SCHEMAS)}.")
    return jsonify(SCHEMAS[name]())
