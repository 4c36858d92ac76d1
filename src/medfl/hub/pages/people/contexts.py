"""What is on the pages about people; nothing here knows of HTTP, and no secret is in it but what is shown once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from medfl.errors import Complaint
from medfl.hub.people.accounts import Account
from medfl.hub.people.audit import Entry
from medfl.hub.people.consortium import People
from medfl.hub.people.passwords import SHORTEST
from medfl.hub.people.permits import RULES, Action, Actor, Role, Thing, verdict
from medfl.hub.people.second import address_of, picture_of
from medfl.hub.people.tokens import possible

SHOWN = 200
"""Lines of the audit log on its page; all are in the file that can be taken along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPage:
    """The sign-in.

    Parameters
    ----------
    hub
        What people call the hub.
    provider
        What people call the institution whose sign-in is taken; empty where none is.
    back, name
        Where somebody wanted to go, and the name that was typed before.
    complaints
        Why it was not possible.
    said
        What was done before, in a sentence.
    """

    hub: str
    provider: str = ""
    back: str = "/"
    name: str = ""
    complaints: tuple[Complaint, ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WelcomePage:
    """Where somebody with a link chooses a password."""

    hub: str
    token: str
    name: str
    title: str
    shortest: int = SHORTEST
    complaints: tuple[Complaint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session of one's own."""

    name: str
    began: str
    used: str
    address: str
    agent: str
    here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of one's own."""

    name: str
    label: str
    scope: tuple[str, ...]
    made: str
    expires: str
    used: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something to tick."""

    value: str
    label: str
    chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """A second factor that is to be set up: a picture to photograph (SVG), and the same as letters."""

    picture: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """One's own account.

    Parameters
    ----------
    name, title, roles, sites
        As the account has them.
    provider
        The institution that vouches for them; then there is no password here.
    has_second, paper_left
        Whether a second factor is set up, and how many codes for paper are left.
    barred
        Why nothing else is within reach.
    sessions, tokens
        What is open.
    choices
        What a new token may do.
    made, codes
        A new token, or new codes for paper; shown this once.
    complaints, said
        What was not possible, or what was done.
    """

    name: str
    title: str
    roles: tuple[str, ...]
    sites: tuple[str, ...]
    provider: str
    has_second: bool
    paper_left: int
    barred: str
    sessions: tuple[Session, ...]
    tokens: tuple[Token, ...]
    choices: tuple[Choice, ...]
    made: str = ""
    codes: tuple[str, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who has an account."""

    name: str
    title: str
    roles: tuple[str, ...]
    sites: tuple[str, ...]
    seen: str
    has_password: bool
    has_second: bool
    disabled: bool
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePage:
    """Who is here.

    Parameters
    ----------
    people
        By name.
    changes
        Whether the reader may change them.
    roles, sites
        What there is to choose from.
    link, whose
        A link that was made just now, and for whom; shown this once.
    complaints, said
        What was not possible, or what was done.
    """

    people: tuple[Person, ...]
    changes: bool
    roles: tuple[str, ...]
    sites: tuple[str, ...]
    link: str = ""
    whose: str = ""
    complaints: tuple[Complaint, ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """What was done.

    Parameters
    ----------
    words
        What lines were asked for.
    entries
        The newest lines that have these words, newest first.
    looked
        Whether the whole chain was looked through.
    lines, hash
        Then: how many lines follow each other as they should, and the hash of the last.
    trouble, note
        Then: what is wrong after them, and what a crash has left; empty where nothing is.
    """

    words: str
    entries: tuple[Entry, ...]
    looked: bool = False
    lines: int = 0
    hash: str = ""
    trouble: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePage:
    """With whom a study or a draft is shared."""

    kind: str
    name: str
    owner: str
    shared: tuple[str, ...]
    complaints: tuple[Complaint, ...] = ()


def account_page(people: People, actor: Actor, *, here: str = "") -> tuple[AccountPage, SetUp | None]:
    """Return somebody's own account, and what to photograph where no second factor is set up.

    Parameters
    ----------
    people
        Who knows them.
    actor
        Who asks.
    here
        The secret of the session that asks.
    """
    account = people.accounts.named(actor.name)
    page = AccountPage(
        name=account.name,
        title=account.title,
        roles=tuple(sorted(account.roles)),
        sites=tuple(sorted(account.sites)),
        provider=provider_of(people, account),
        has_second=account.has_second,
        paper_left=people.second.left(account.name),
        barred=actor.barred,
        sessions=tuple(
            Session(
                name=one.name,
                began=moment(one.began),
                used=moment(one.used),
                address=one.address,
                agent=browser_of(one.agent),
                here=one.here,
            )
            for one in people.sessions.of(account.name, here=here)
        ),
        tokens=tuple(
            Token(
                name=one.name,
                label=one.label,
                scope=tuple(RULES[action].words for action in one.scope),
                made=moment(one.made),
                expires=moment(one.expires),
                used=moment(one.used),
            )
            for one in people.tokens.of(account.name)
        ),
        choices=_choices(actor),
    )
    return page, _set_up(people, account)


def people_page(people: People, actor: Actor, sites: tuple[str, ...]) -> PeoplePage:
    """Return who is here; `sites` are those of the hub."""
    return PeoplePage(
        people=tuple(
            Person(
                name=one.name,
                title=one.title,
                roles=tuple(sorted(one.roles)),
                sites=tuple(sorted(one.sites)),
                seen=moment(one.seen),
                has_password=one.has_password,
                has_second=one.has_second,
                disabled=one.disabled,
                provider=provider_of(people, one),
            )
            for one in people.accounts.every()
        ),
        changes=bool(verdict(actor, Action.CHANGE_PEOPLE)),
        roles=tuple(Role),
        sites=tuple(sorted(sites)),
    )


def audit_page(people: People, words: str, *, look: bool) -> AuditPage:
    """Return what was done: the newest lines that have some words; `look` goes through the whole chain."""
    entries = tuple(people.audit.last(SHOWN, words))
    if not look:
        return AuditPage(words=words, entries=entries)
    found = people.audit.verify()
    return AuditPage(
        words=words,
        entries=entries,
        looked=True,
        lines=found.lines,
        hash=found.hash,
        trouble=found.trouble,
        note=found.note,
    )


def share_page(thing: Thing) -> SharePage:
    """Return with whom a thing is shared."""
    return SharePage(kind=thing.kind, name=thing.name, owner=thing.owner, shared=tuple(sorted(thing.shared)))


def provider_of(people: People, account: Account) -> str:
    """Return what people call the institution that vouches for an account."""
    if not account.issuer:
        return ""
    provider = people.rules.provider
    return provider.name if provider is not None and provider.issuer == account.issuer else account.issuer


def browser_of(agent: str) -> str:
    """Return which browser on what somebody has, as far as it says so itself; else what it says, cut short."""
    browsers = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
    systems = ("Windows", "iPhone", "iPad", "Android", "Macintosh", "Linux")
    browser = next((name for word, name in browsers.items() if f"{word}/" in agent), "")
    system = next((word for word in systems if word in agent), "").replace("Macintosh", "macOS")
    return " · ".join(filter(None, (browser, system))) if browser else agent[:40]


def moment(seconds: float) -> str:
    """Return a moment as UTC in ISO 8601; empty for never."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else ""


def _set_up(people: People, account: Account) -> SetUp | None:
    if account.has_second or account.issuer:
        return None
    secret = people.second.propose(account.name)
    address = address_of(secret, account=account.name, hub=people.name)
    spaced = " ".join(secret[place : place + 4] for place in range(0, len(secret), 4))
    return SetUp(picture=picture_of(address), secret=spaced)


def _choices(actor: Actor) -> tuple[Choice, ...]:
    """Return what a token of somebody could be for: nothing that no role of theirs reaches."""
    within = [one for one in possible() if actor.roles & RULES[one].reach.keys()]
    return tuple(Choice(value=one, label=RULES[one].words.replace("their own", "your own")) for one in within)
