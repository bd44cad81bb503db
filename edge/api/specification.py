"""The contract itself, generated from the code."""

from typing import Final

from flask import Blueprint, current_app, jsonify
from flask.typing import ResponseReturnValue
from flask_openapi.openapi import OpenAPI

blueprint: Final = Blueprint("specification", __name__)


@blueprint.get("/v1/openapi.json")
def show() -> ResponseReturnValue:
    """Return the contract, OpenAPI 3.1."""
    assert isinstance(current_app, OpenAPI)  # noqa: S101 - for the type checker
    return jsonify(current_app.api_doc)
