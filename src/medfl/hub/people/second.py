"""The second factor: codes of an app by time (TOTP, RFC 6238), and codes on paper for the day when the app is lost."""

from __future__ import annotations

import hashlib
import io
import secrets

import pyotp
import segno

WINDOW = 1
"""Steps of thirty seconds by which a clock may be off, to either side."""
STEP = 30
PAPER = 10
"""Codes for the day when the app is lost."""
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Nothing that is read as something else."""


def new_secret() -> str:
    """Return a secret that an app and the hub share from now on: 160 bits, as RFC 4226 asks for, in base 32."""
    return pyotp.random_base32(32)


def address_of(secret: str, *, account: str, hub: str) -> str:
    """Return what an app reads from a picture."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=f"MEDfl {hub}".strip())


def picture_of(address: str) -> str:
    """Return a QR code as SVG, to be put into a page as it is: it has no colours of its own and no scripts."""
    out = io.BytesIO()
    # A background and dark squares whatever the page's colours: a camera needs the contrast.
    segno.make(address, error="m").save(
        out,
        kind="svg",
        scale=5,
        border=3,
        xmldecl=False,
        svgns=True,
        nl=False,
        dark="#000",
        light="#fff",
        omitsize=True,
    )
    return out.getvalue().decode()


def step_of(secret: str, code: str, *, now: float, after: int) -> int | None:
    """Return the step of time that a code belongs to, if it is right and later than the one that was last used.

    Parameters
    ----------
    secret, code
        What is shared, and what was typed.
    now
        Seconds since 1970.
    after
        The step of the last code that was taken: each is good once (RFC 6238, section 5.2).
    """
    digits = "".join(code.split())
    if len(digits) != 6 or not digits.isascii() or not digits.isdecimal():
        return None
    found = None
    totp = pyotp.TOTP(secret)
    for step in range(int(now) // STEP - WINDOW, int(now) // STEP + WINDOW + 1):
        # All are compared, whichever fits.
        if secrets.compare_digest(totp.generate_otp(step), digits) and step > after:
            found = step
    return found


def paper_codes() -> list[str]:
    """Return new codes for paper, of about 50 bits each."""
    return ["-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(2)) for _ in range(PAPER)]


def paper_hash(code: str) -> str:
    """Return what is kept of a code on paper: they are drawn at random, so that a plain hash tells nothing."""
    return hashlib.sha256("".join(code.lower().split()).replace("-", "").encode()).hexdigest()
