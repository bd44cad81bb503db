"""Profiles: what an installed system is told at its first boot."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field, StringConstraints

from edge import auth, conditions
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    Answer,
    Body,
    Change,
    Document,
    Line,
    Listing,
    Page,
    Path,
    Ref,
    SortOf,
    Word,
    example,
)
from models import lists, queries
from models.commands import catalogue, inventory
from pxe_stack import installers

api: Final = resource("profiles", "Templates of what a system is told at its first boot.")

_EXAMPLE: Final = {
    "ref": "base",
    "name": "Base",
    "cloudConfigTemplate": "#cloud-config\nhostname: {{ hostname }}\n",
    "sshKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample ada@example"],
}

SshKey = Annotated[
    str, StringConstraints(min_length=1, max_length=16_384, pattern=r"^[^\x00-\x1f\x7f]*$")
]


SshKeys = Annotated[list[SshKey], Field(max_length=64)]
Template = Annotated[
    Document, Field(description="#cloud-config with placeholders such as {{ hostname }}.")
]


class ProfileRef(Path):
    profile: Annotated[Line, Field(description="The profile's id or ref.", examples=["base"])]


class ProfileFilter(Listing):
    search: Annotated[Word, Field(description="Part of a reference or of a name.")] = ""
    sort: Annotated[str, SortOf(lists.PROFILES)] = lists.PROFILES.usual


class NewProfile(Body):
    model_config = ConfigDict(json_schema_extra=example(_EXAMPLE))

    ref: Ref
    name: Line
    cloud_config_template: Template
    ssh_keys: SshKeys = Field(default_factory=list)


class ChangedProfile(Change):
    model_config = ConfigDict(
        json_schema_extra=example({"version": 1, "cloudConfigTemplate": "#cloud-config\n{}\n"})
    )

    name: Line = Field(default_factory=str)
    cloud_config_template: Template = Field(default_factory=str)
    ssh_keys: SshKeys = Field(default_factory=list)


class Profile(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f44-2d3e-7f40-8152-637485960718",
                **_EXAMPLE,
                "version": 1,
                "createdAt": "2025-06-01T12:00:00Z",
                "updatedAt": "2025-06-01T12:00:00Z",
            }
        )
    )

    id: UUID
    ref: str
    name: str
    cloud_config_template: str
    ssh_keys: list[str]
    version: int
    created_at: datetime
    updated_at: datetime


class Profiles(Page):
    items: list[Profile]


@operation(
    api,
    "post",
    "/v1/profiles",
    "createProfile",
    answer=Profile,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "taken"),
    action="profile.create",
)
def create(body: NewProfile) -> Response:
    """Create a profile."""
    installers.check_template(body.cloud_config_template)
    profile_id = inventory.create_profile(auth.caller(), **body.model_dump())
    made = Profile.of(queries.profile(profile_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/profiles/{profile_id}")


@operation(api, "get", "/v1/profiles", "listProfiles", answer=Profiles, action="profile.read")
def index(query: ProfileFilter) -> Response:
    """List profiles."""
    found = lists.profiles(search=query.search, ask=query.ask())
    return answered(Profiles.showing(found))


@operation(
    api, "get", "/v1/profiles/<profile>", "getProfile", answer=Profile, action="profile.read"
)
def show(path: ProfileRef) -> Response:
    """Show one profile."""
    return answered(Profile.of(queries.profile(path.profile)))


@operation(
    api,
    "patch",
    "/v1/profiles/<profile>",
    "updateProfile",
    answer=Profile,
    refuses=("invalid",),
    action="profile.update",
)
def update(path: ProfileRef, body: ChangedProfile) -> Response:
    """Change a profile, for installations that begin later; its reference stays."""
    profile = queries.profile(path.profile)
    version = conditions.expected(body.version)
    changes = body.asked()
    if "cloud_config_template" in changes:
        installers.check_template(body.cloud_config_template)
    catalogue.update(auth.caller(), "profile", profile.id, changes, version=version)
    return answered(Profile.of(queries.profile(profile.id)))


@operation(
    api,
    "delete",
    "/v1/profiles/<profile>",
    "deleteProfile",
    answer=Profile,
    refuses=("in-use",),
    action="profile.delete",
)
def delete(path: ProfileRef) -> Response:
    """Forget a profile that nothing uses; answers what it was."""
    profile = queries.profile(path.profile)
    version = conditions.expected(None, demanded=False)
    catalogue.delete(auth.caller(), "profile", profile.id, version=version)
    return answered(Profile.of(profile))
