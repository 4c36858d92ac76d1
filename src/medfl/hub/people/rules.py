"""What a hub asks of its people: ``people.toml`` in its folder, all of it optional."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from medfl.errors import Complaint, SpecError
from medfl.hub.people.permits import Role
from medfl.private import require_private

FILE = "people.toml"
DRAFTS = 200
"""Drafts that one person may have unless told otherwise."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Provider(_Part):
    """An institution's own sign-in, by OpenID Connect."""

    name: str = Field(min_length=1, max_length=60)
    """What people call it: on the button."""
    issuer: str
    """Its address, under which ``/.well-known/openid-configuration`` is found; https."""
    client_id: str = Field(min_length=1)
    """What it calls this hub."""
    client_secret: str = ""
    """What it and the hub share; empty for a client that has none. The file is for its owner only."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """What is asked for."""
    claim: str = "groups"
    """The claim of the identity that tells groups: a text, or a list of texts."""
    roles: dict[str, tuple[Role, ...]] = Field(default_factory=dict)
    """Roles by group; who is in none of these groups is not let in."""
    sites: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Sites that a data owner speaks for, by group."""

    @field_validator("issuer")
    @classmethod
    def _encrypted(cls, issuer: str) -> str:
        from urllib.parse import urlsplit

        parts = urlsplit(issuer)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
            raise ValueError("an issuer is reached by https")
        return issuer.rstrip("/")


class PeopleRules(_Part):
    """All that may be in the file."""

    second_factor: frozenset[Role] = frozenset()
    """Roles that have to set a second factor up before they reach anything but their own account."""
    idle_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 60
    """Minutes after which a session ends in which nothing was asked."""
    longest_hours: Annotated[int, Field(ge=1, le=24 * 7)] = 12
    """Hours after which a session ends, whatever was asked."""
    drafts: Annotated[int, Field(ge=1, le=10_000)] = DRAFTS
    """Drafts of studies that one person may have."""
    provider: Provider | None = None
    """An institution's own sign-in."""


def rules_of(folder: Path) -> PeopleRules:
    """Return what a hub asks of its people.

    Raises
    ------
    SpecError
        With all that is wrong in the file.
    EnrolmentError
        If there is a secret in it, and others can read it.
    """
    path = folder / FILE
    if not path.exists():
        return PeopleRules()
    try:
        words: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        rules = PeopleRules.model_validate(words)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(
            "this is no TOML", where=str(path), received=str(error), remedy="mend it, or remove it"
        ) from None
    except ValidationError as error:
        raise SpecError.of([_complaint(path, dict(one)) for one in error.errors()]) from None
    if rules.provider is not None and rules.provider.client_secret:
        require_private(path)
    return rules


def _complaint(path: Path, one: dict[str, Any]) -> Complaint:
    key = ".".join(map(str, one["loc"]))
    what = "there is no such key" if one["type"] == "extra_forbidden" else str(one["msg"])
    # What was received is not shown: it may be the secret that the hub shares with the provider.
    return Complaint(what, f"{path}: {key}", "", "see docs/how-to/people-and-roles.md for what may be written here")
