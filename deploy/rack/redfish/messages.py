"""Every way the BMC says no: an HTTP status and messages of the DMTF Base registry.

Source: DMTF DSP0266 §8.6 (error responses), DSP8011 (Base 1.18).
"""

from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

_REGISTRY: Final = "Base.1.18"


@dataclass(frozen=True, slots=True)
class Message:
    status: HTTPStatus
    severity: str
    text: str
    resolution: str


_S = HTTPStatus

# fmt: off
MESSAGES: Final = MappingProxyType({
    "ActionParameterMissing": Message(
        _S.BAD_REQUEST, "Critical",
        "The action {} requires the parameter {} to be present in the request body.",
        "Supply the action with the required parameter in the request body when the request is "
        "resubmitted."),
    "ActionParameterUnknown": Message(
        _S.BAD_REQUEST, "Warning",
        "The action {} was submitted with the invalid parameter {}.",
        "Correct the invalid action parameter and resubmit the request if the operation failed."),
    "ActionParameterValueFormatError": Message(
        _S.BAD_REQUEST, "Warning",
        "The value '{}' for the parameter {} in the action {} is of a different format than the "
        "parameter can accept.",
        "Correct the value for the parameter in the request body and resubmit the request if the "
        "operation failed."),
    "ActionParameterValueNotInList": Message(
        _S.BAD_REQUEST, "Warning",
        "The value '{}' for the parameter {} in the action {} is not in the list of acceptable "
        "values.",
        "Choose a value from the enumeration list that the implementation can support and "
        "resubmit the request if the operation failed."),
    "ChassisPowerStateOffRequired": Message(
        _S.CONFLICT, "Warning",
        "The chassis with Id '{}' is required to be powered off to perform this request.",
        "Power off the specified chassis and resubmit the request."),
    "ChassisPowerStateOnRequired": Message(
        _S.CONFLICT, "Warning",
        "The chassis with Id '{}' is required to be powered on to perform this request.",
        "Power on the specified chassis and resubmit the request."),
    "CouldNotEstablishConnection": Message(
        _S.NOT_FOUND, "Critical",
        "The service failed to establish a connection with the URI '{}'.",
        "Ensure that the URI contains a valid and reachable node name, protocol information and "
        "other URI components."),
    "InternalError": Message(
        _S.INTERNAL_SERVER_ERROR, "Critical",
        "The request failed due to an internal service error.  The service is still operational.",
        "Resubmit the request.  If the problem persists, consider resetting the service."),
    "MalformedJSON": Message(
        _S.BAD_REQUEST, "Critical",
        "The request body submitted was malformed JSON and could not be parsed by the receiving "
        "service.",
        "Ensure that the request body is valid JSON and resubmit the request."),
    "NoOperation": Message(
        _S.BAD_REQUEST, "Warning",
        "The request body submitted contain no data to act upon and no changes to the resource "
        "took place.",
        "Add properties in the JSON object and resubmit the request."),
    "NoValidSession": Message(
        _S.UNAUTHORIZED, "Critical",
        "There is no valid session established with the implementation.",
        "Establish a session before attempting any operations."),
    "OperationNotAllowed": Message(
        _S.METHOD_NOT_ALLOWED, "Critical",
        "The HTTP method is not allowed on this resource.",
        "None."),
    "PayloadTooLarge": Message(
        _S.REQUEST_ENTITY_TOO_LARGE, "Critical",
        "The supplied payload exceeds the maximum size supported by the service.",
        "Check that the supplied payload is correct and supported by this service."),
    "PreconditionFailed": Message(
        _S.PRECONDITION_FAILED, "Critical",
        "The ETag supplied did not match the ETag required to change this resource.",
        "Try the operation again using the appropriate ETag."),
    "PropertyMissing": Message(
        _S.BAD_REQUEST, "Warning",
        "The property {} is a required property and must be included in the request.",
        "Ensure that the property is in the request body and has a valid value and resubmit the "
        "request if the operation failed."),
    "PropertyNotWritable": Message(
        _S.BAD_REQUEST, "Warning",
        "The property {} is a read-only property and cannot be assigned a value.",
        "Remove the property from the request body and resubmit the request if the operation "
        "failed."),
    "PropertyUnknown": Message(
        _S.BAD_REQUEST, "Warning",
        "The property {} is not in the list of valid properties for the resource.",
        "Remove the unknown property from the request body and resubmit the request if the "
        "operation failed."),
    "PropertyValueNotInList": Message(
        _S.BAD_REQUEST, "Warning",
        "The value '{}' for the property {} is not in the list of acceptable values.",
        "Choose a value from the enumeration list that the implementation can support and "
        "resubmit the request if the operation failed."),
    "PropertyValueOutOfRange": Message(
        _S.BAD_REQUEST, "Warning",
        "The value '{}' for the property {} is not in the supported range of acceptable values.",
        "Correct the value for the property in the request body and resubmit the request if the "
        "operation failed."),
    "PropertyValueTypeError": Message(
        _S.BAD_REQUEST, "Warning",
        "The value '{}' for the property {} is not a type that the property can accept.",
        "Correct the value for the property in the request body and resubmit the request if the "
        "operation failed."),
    "QueryNotSupported": Message(
        _S.NOT_IMPLEMENTED, "Warning",
        "Querying is not supported by the implementation.",
        "Remove the query parameters and resubmit the request if the operation failed."),
    "ResourceInUse": Message(
        _S.CONFLICT, "Warning",
        "The change to the requested resource failed because the resource is in use or in "
        "transition.",
        "Remove the condition and resubmit the request if the operation failed."),
    "ResourceMissingAtURI": Message(
        _S.NOT_FOUND, "Critical",
        "The resource at the URI '{}' was not found.",
        "Place a valid resource at the URI or correct the URI and resubmit the request."),
    "SessionLimitExceeded": Message(
        _S.SERVICE_UNAVAILABLE, "Critical",
        "The session establishment failed due to the number of simultaneous sessions exceeding "
        "the limit of the implementation.",
        "Reduce the number of other sessions before trying to establish the session or increase "
        "the limit of simultaneous sessions, if supported."),
    "UnrecognizedRequestBody": Message(
        _S.BAD_REQUEST, "Warning",
        "The service detected a malformed request body that it was unable to interpret.",
        "Correct the request body and resubmit the request if it failed."),
})
# fmt: on


class Refused(Exception):
    """The BMC's answer is an error; *key* is its name in MESSAGES."""

    def __init__(self, key: str, *words: str) -> None:
        self.message = MESSAGES[key]
        super().__init__(self.message.text.format(*words))
        self.key = key
        self.words = words

    def body(self) -> dict[str, Any]:
        info = {
            "@odata.type": "#Message.v1_1_1.Message",
            "MessageId": f"{_REGISTRY}.{self.key}",
            "Message": str(self),
            "MessageArgs": list(self.words),
            "Severity": self.message.severity,
            "MessageSeverity": self.message.severity,
            "Resolution": self.message.resolution,
        }
        code, text = info["MessageId"], info["Message"]
        return {"error": {"code": code, "message": text, "@Message.ExtendedInfo": [info]}}
