"""A node signs by the SuperLink's clock where its own is wrong."""

from __future__ import annotations

import datetime
from base64 import b64decode
from email.utils import format_datetime

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, verify_signature

from medfl.run.flower.signing import Signing


def sent(request: httpx.Request) -> datetime.datetime:
    """Return when a request says that it was signed; its signature must be right."""
    key = bytes_to_public_key(b64decode(request.headers["flwr-public-key"]))
    moment = request.headers["flwr-timestamp"]
    assert verify_signature(key, moment.encode(), b64decode(request.headers["flwr-signature"]))
    return datetime.datetime.fromisoformat(moment)


class Other:
    """The other end, with a clock of its own."""

    def __init__(self, ahead: datetime.timedelta, *, date: str | None = None) -> None:
        self._ahead, self._date = ahead, date
        self.calls = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        now = datetime.datetime.now(datetime.UTC) + self._ahead
        right = abs(now - sent(request)) < datetime.timedelta(minutes=5)
        date = format_datetime(now) if self._date is None else self._date
        return httpx.Response(200 if right else 401, headers={"date": date})


def asked() -> httpx.Request:
    return httpx.Request("POST", "https://superlink/v1/fleet/pull-messages")


@pytest.mark.parametrize("hours", [-1, 1, 30 * 24])
def test_a_clock_that_is_off_costs_one_call_more_and_only_once(hours: int) -> None:
    signing, other = Signing(ec.generate_private_key(ec.SECP384R1())), Other(datetime.timedelta(hours=hours))
    assert [signing.sent(asked(), other).status_code for _ in range(3)] == [200, 200, 200]
    assert other.calls == 4


def test_with_clocks_that_agree_there_is_no_further_call() -> None:
    signing, other = Signing(ec.generate_private_key(ec.SECP384R1())), Other(datetime.timedelta(seconds=20))
    assert signing.sent(asked(), other).status_code == 200
    assert other.calls == 1


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_refusal_for_another_reason_stays_one(date: str) -> None:
    signing, other = Signing(ec.generate_private_key(ec.SECP384R1())), Other(datetime.timedelta(hours=1), date=date)
    assert signing.sent(asked(), other).status_code == 401
    assert other.calls == 1
