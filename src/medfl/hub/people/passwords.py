"""Passwords: long rather than colourful, not among the worst, and kept so that nobody can read them.

The rules are those of NIST SP 800-63B-4, section 3.1.1.2: at least fifteen characters where a password may stand alone,
no rules of composition, no change for its own sake, and a comparison with what is commonly used or plain to guess.
Argon2id has the parameters of RFC 9106, section 4, second choice: 64 MiB, three passes, four lanes.
"""

from __future__ import annotations

import secrets
import unicodedata
from functools import cached_property
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from medfl.errors import UserError

SHORTEST, LONGEST = 15, 256
"""Characters of a password. NIST asks for at least 64 allowed; the upper bound keeps a guess cheap to refuse."""
WORST = frozenset(
    (
        "123456789012345",
        "1234567890123456",
        "12345678901234567890",
        "qwertyuiopasdfg",
        "qwertyuiopasdfghjkl",
        "qwertzuiopasdfg",
        "azertyuiopqsdfg",
        "1qaz2wsx3edc4rfv",
        "1q2w3e4r5t6y7u8i",
        "qwerty123456789",
        "abcdefghijklmno",
        "abcdefghijklmnopqrstuvwxyz",
        "abc123abc123abc123",
        "passwordpassword",
        "password12345678",
        "passwort12345678",
        "motdepassemotdepasse",
        "iloveyouiloveyou",
        "administrator123",
        "administratoradministrator",
        "letmeinletmeinletmein",
        "welcomewelcomewelcome",
        "changemechangeme",
        "correct horse battery staple",
        "correcthorsebatterystaple",
        "trustno1trustno1",
        "whateverwhatever",
        "superman12345678",
        "thequickbrownfox",
        "the quick brown fox",
    )
)
"""The long ones among the most used; the short ones are refused for their length."""
AT_ONCE = 2
"""Passwords that are worked on at the same time."""
FEWEST = 5
"""Different characters of a password."""


def require_good(password: str, *, name: str) -> None:
    """Refuse a password that is easy to guess.

    Parameters
    ----------
    password
        As it was typed.
    name
        Of the account, which a password must not be made of.

    Raises
    ------
    UserError
        With what to choose instead; never with the password.
    """
    text, low = normal(password), normal(password).lower()
    bare = low
    for word in {name, name.partition("@")[0], "medfl"}:
        bare = bare.replace(word, "") if len(word) > 2 else bare
    what = ""
    if len(text) < SHORTEST:
        what = f"a password has at least {SHORTEST} characters"
    elif len(text) > LONGEST:
        what = f"a password has at most {LONGEST} characters"
    elif low in WORST or len(set(low)) < FEWEST:
        what = "this password is among the first that others would try"
    elif len(bare) < SHORTEST // 2:
        what = "this password is little more than the name of the account"
    if what:
        raise UserError(
            what,
            where="password",
            received=f"{len(text)} characters",
            remedy="take four or five words that have nothing to do with each other; any characters, also spaces",
        )


def normal(password: str) -> str:
    """Return a password in the one form in which keyboards may differ (NIST SP 800-63B-4: NFKC)."""
    return unicodedata.normalize("NFKC", password)


class Hashes:
    """Makes hashes of passwords, and compares: the same work, whether there is one to compare with or not.

    Parameters
    ----------
    hasher
        Does the work; as RFC 9106 says where left out.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        # Each takes 64 MiB: a crowd at the door must not take all memory.
        self._turn = BoundedSemaphore(AT_ONCE)
        self.made = 0
        """How often the work was done: what a guess costs, and the same for every name."""

    def of(self, password: str) -> str:
        """Return what is kept of a password."""
        with self._turn:
            return self._hasher.hash(normal(password))

    def fits(self, kept: str, password: str) -> bool:
        """Say whether it is the password; where none is kept, compare with one that nobody knows."""
        self.made += 1
        try:
            with self._turn:
                return self._hasher.verify(kept or self._unknown, normal(password[: 4 * LONGEST])) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False

    def is_old(self, kept: str) -> bool:
        """Say whether a hash was made with other parameters than are used today."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _unknown(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe(32))
