"""Who may do what on the pages: one closed list of actions, one table, and a reason for every verdict.

What the table does not allow is refused. A role reaches everything, or only what is one's own, was shared with one, or
is about the sites that one speaks for; several roles reach what each of them reaches. A reason never tells more of a
thing than that it is not within reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from medfl.errors import RefusedError


class Role(StrEnum):
    """What somebody is in a consortium."""

    ADMIN = "admin"
    """Keeps people, sites and settings; sees no study by this role."""
    COORDINATOR = "coordinator"
    """Keeps all studies, the queue and the sites."""
    RESEARCHER = "researcher"
    """Designs and runs studies, and sees their own and those shared with them."""
    DATA_OWNER = "data owner"
    """Speaks for sites: sees the studies that name them, and approves these or not."""
    AUDITOR = "auditor"
    """Reads everything, with the audit log, and changes nothing."""


class Action(StrEnum):
    """Everything that the pages can do."""

    SIGN_IN = "sign-in"
    SEE_ACCOUNT = "see-account"
    CHANGE_ACCOUNT = "change-account"
    SEE_HOME = "see-home"
    SEE_STUDY = "see-study"
    LAUNCH_STUDY = "launch-study"
    STEER_STUDY = "steer-study"
    SHARE_STUDY = "share-study"
    APPROVE_STUDY = "approve-study"
    BEGIN_DRAFT = "begin-draft"
    SEE_DRAFT = "see-draft"
    CHANGE_DRAFT = "change-draft"
    SHARE_DRAFT = "share-draft"
    SEE_QUEUE = "see-queue"
    CHANGE_QUEUE = "change-queue"
    SEE_SITES = "see-sites"
    CHANGE_SITES = "change-sites"
    SEE_SETTINGS = "see-settings"
    CHANGE_SETTINGS = "change-settings"
    SEE_PEOPLE = "see-people"
    CHANGE_PEOPLE = "change-people"
    SEE_AUDIT = "see-audit"


class Reach(StrEnum):
    """How far a role reaches."""

    ALL = ""
    OWN = "what is their own"
    SHARED = "what is their own or shared with them"
    SITES = "the sites that they speak for"


class How(StrEnum):
    """How somebody came in."""

    LINK = "link"
    """By the link that a command on this machine printed: they own the machine, and all that is on it."""
    SESSION = "session"
    """Signed in with a browser."""
    TOKEN = "token"  # noqa: S105 - the word, and none of them
    """A program, with a token of somebody's account."""


Kind = Literal["study", "draft", "site"]
"""What a page can be about, in an address named ``{execution}``, ``{name}`` and ``{site}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody who asks for something.

    Parameters
    ----------
    name, title
        Of the account, as it is typed, and as people read it.
    roles, sites
        What they are, and the sites that they speak for as a data owner.
    how
        How they came in.
    scope
        Of a token: all that it is for.
    barred
        Why nothing but their own account is within reach; empty where it is.
    """

    name: str
    title: str
    roles: frozenset[Role]
    sites: frozenset[str] = frozenset()
    how: How = How.SESSION
    scope: frozenset[Action] = field(default=frozenset(Action))
    barred: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What somebody asks about.

    Parameters
    ----------
    kind, name
        What it is.
    owner, shared
        The account that began it, and those with whom it was shared; empty where nobody on the pages did.
    sites
        The sites that it names.
    """

    kind: Kind
    name: str
    owner: str = ""
    shared: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A yes or a no, and why, as a sentence without its full stop."""

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do something.

    Parameters
    ----------
    words
        What it is, as in "nobody may …".
    reach
        How far each role reaches; who is not here does not.
    about
        What it is done to; empty where it is done to nothing in particular.
    by_token
        Whether a program may, for somebody.
    """

    words: str
    reach: Mapping[Role, Reach]
    about: Kind | Literal[""] = ""
    by_token: bool = True


NOBODY = Actor(name="", title="", roles=frozenset())
"""Somebody who has not signed in."""
HERE = Actor(name="", title="on this machine", roles=frozenset(Role), how=How.LINK)
"""The one person of ``medfl app``."""

_ARTICLES: Mapping[Role, str] = MappingProxyType({Role.ADMIN: "an", Role.AUDITOR: "an"})
_ALL, _OWN, _SHARED, _SITES = Reach.ALL, Reach.OWN, Reach.SHARED, Reach.SITES
_EVERY = dict.fromkeys(Role, _ALL)
_WRITERS = {Role.COORDINATOR: _ALL, Role.RESEARCHER: _ALL}
_DRAFTS = {Role.COORDINATOR: _SHARED, Role.RESEARCHER: _SHARED}
_KEEPERS = {Role.ADMIN: _ALL, Role.COORDINATOR: _ALL}
_READERS = _KEEPERS | {Role.AUDITOR: _ALL}
RULES: Mapping[Action, Rule] = MappingProxyType(
    {
        Action.SIGN_IN: Rule("sign in", _EVERY, by_token=False),
        Action.SEE_ACCOUNT: Rule("see their own account", _EVERY),
        Action.CHANGE_ACCOUNT: Rule("change their own account", _EVERY, by_token=False),
        Action.SEE_HOME: Rule("see the list of studies", _EVERY),
        Action.SEE_STUDY: Rule(
            "see a study",
            {Role.COORDINATOR: _ALL, Role.AUDITOR: _ALL, Role.RESEARCHER: _SHARED, Role.DATA_OWNER: _SITES},
            "study",
        ),
        Action.LAUNCH_STUDY: Rule("launch a study", _WRITERS),
        Action.STEER_STUDY: Rule(
            "stop a study, pause it, go on with it or drop a site of it",
            {Role.COORDINATOR: _ALL, Role.RESEARCHER: _SHARED},
            "study",
        ),
        Action.SHARE_STUDY: Rule("share a study", {Role.COORDINATOR: _ALL, Role.RESEARCHER: _OWN}, "study"),
        Action.APPROVE_STUDY: Rule("decide on a study for a site", {Role.DATA_OWNER: _SITES}, "site", by_token=False),
        Action.BEGIN_DRAFT: Rule("begin a draft", _WRITERS),
        Action.SEE_DRAFT: Rule("see a draft", _DRAFTS | {Role.AUDITOR: _ALL}, "draft"),
        Action.CHANGE_DRAFT: Rule("change a draft", _DRAFTS, "draft"),
        Action.SHARE_DRAFT: Rule("share or remove a draft", {Role.COORDINATOR: _OWN, Role.RESEARCHER: _OWN}, "draft"),
        Action.SEE_QUEUE: Rule("see the queue", _WRITERS | {Role.AUDITOR: _ALL}),
        Action.CHANGE_QUEUE: Rule("change the queue", {Role.COORDINATOR: _ALL}),
        Action.SEE_SITES: Rule("see the sites", _EVERY),
        Action.CHANGE_SITES: Rule("invite, approve or revoke a site", _KEEPERS),
        Action.SEE_SETTINGS: Rule("see the settings", _READERS),
        Action.CHANGE_SETTINGS: Rule("change the settings", {Role.ADMIN: _ALL}, by_token=False),
        Action.SEE_PEOPLE: Rule("see who is here", _READERS),
        Action.CHANGE_PEOPLE: Rule("change accounts", {Role.ADMIN: _ALL}, by_token=False),
        Action.SEE_AUDIT: Rule("read the audit log", {Role.ADMIN: _ALL, Role.AUDITOR: _ALL}),
    }
)
"""The table."""


def verdict(actor: Actor, action: Action, thing: Thing | None = None) -> Verdict:
    """Say whether somebody may do something, and why.

    Parameters
    ----------
    actor, action
        Who, and what.
    thing
        To what, where the action is done to something.
    """
    rule = RULES[action]
    if action is Action.SIGN_IN:
        return Verdict(True, "everybody may try")
    if actor.how is How.TOKEN and not rule.by_token:
        return Verdict(False, f"a token may not {rule.words}: people who are signed in may")
    if action not in actor.scope:
        return Verdict(False, f"this token was not made to {rule.words}")
    if actor.barred and action not in (Action.SEE_ACCOUNT, Action.CHANGE_ACCOUNT):
        return Verdict(False, actor.barred)
    if rule.about and (thing is None or thing.kind != rule.about):
        return Verdict(False, f"to {rule.words}, it has to be known which {rule.about}")
    for role in Role:
        if role in actor.roles and role in rule.reach and _within(rule.reach[role], actor, thing):
            return Verdict(True, f"as {role}")
    return Verdict(False, _why_not(actor, rule))


def require(actor: Actor, action: Action, thing: Thing | None = None) -> None:
    """Refuse what somebody may not do.

    Raises
    ------
    RefusedError
        With the reason.
    """
    found = verdict(actor, action, thing)
    if not found:
        raise RefusedError(
            found.reason,
            where=str(action),
            received=f"{actor.name or 'nobody'} ({_roles(actor)})",
            remedy=_remedy(actor, RULES[action]),
        )


def _within(reach: Reach, actor: Actor, thing: Thing | None) -> bool:
    """Say whether a thing is within reach; who came by the link owns the machine, and everything on it."""
    if reach is Reach.ALL or actor.how is How.LINK:
        return True
    if thing is None or not actor.name:
        return False
    match reach:
        case Reach.OWN:
            return thing.owner == actor.name
        case Reach.SHARED:
            return thing.owner == actor.name or actor.name in thing.shared
        case Reach.SITES:
            return bool(actor.sites & ({thing.name} if thing.kind == "site" else thing.sites))


def _why_not(actor: Actor, rule: Rule) -> str:
    if not actor.name and actor.how is not How.LINK:
        return "nobody is signed in"
    if not actor.roles:
        return "this account has no role yet"
    if actor.roles == {Role.AUDITOR}:
        return f"an auditor reads everything and changes nothing, and so may not {rule.words}"
    return f"only {_who(rule)} may {rule.words}"


def _who(rule: Rule) -> str:
    every = [
        f"{_ARTICLES.get(role, 'a')} {role}" + (f" ({reach})" if reach else "") for role, reach in rule.reach.items()
    ]
    return " or ".join(filter(None, [", ".join(every[:-1]), every[-1]]))


def _roles(actor: Actor) -> str:
    return ", ".join(sorted(actor.roles)) or "no role"


def _remedy(actor: Actor, rule: Rule) -> str:
    if not actor.name and actor.how is not How.LINK:
        return "sign in at /sign-in"
    if Reach.SHARED in {rule.reach.get(role) for role in actor.roles}:
        return f"ask whose {rule.about} it is to share it with you"
    return "ask an administrator of this hub for the role, or one who has it to do it"
