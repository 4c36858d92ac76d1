"""Signs what a node sends, by the SuperLink's clock: Flower refuses a time that is five minutes off."""

from __future__ import annotations

import datetime
from base64 import b64encode
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

REFUSED = 401
SKEWED = datetime.timedelta(seconds=60)
"""Clocks that differ by less are left alone."""


class Signing:
    """Puts a node's key, the time and the signature of it into the head of each request.

    Parameters
    ----------
    key
        The node's private key.
    """

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key
        self._ahead = datetime.timedelta()

    def sent(self, request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        """Sign and send; once more by the other end's clock, where it refuses and its clock is another."""
        self._sign(request)
        response = send(request)
        if response.status_code != REFUSED or not self._learn(response):
            return response
        response.close()
        self._sign(request)
        return send(request)

    def _sign(self, request: httpx.Request) -> None:
        moment = (datetime.datetime.now(datetime.UTC) + self._ahead).isoformat()
        public = public_key_to_bytes(self._key.public_key())
        request.headers[FLEET_HTTP_PUBLIC_KEY_HEADER] = b64encode(public).decode("ascii")
        request.headers[TIMESTAMP_HEADER] = moment
        signature = sign_message(self._key, moment.encode("ascii"))
        request.headers[FLEET_HTTP_SIGNATURE_HEADER] = b64encode(signature).decode("ascii")

    def _learn(self, response: httpx.Response) -> bool:
        """Take the other end's time over, and say whether it is another than was used."""
        try:
            told = parsedate_to_datetime(response.headers.get("date", ""))
        except ValueError:
            return False
        ahead = told - datetime.datetime.now(datetime.UTC)
        if abs(ahead - self._ahead) < SKEWED:
            return False
        self._ahead = ahead
        return True
