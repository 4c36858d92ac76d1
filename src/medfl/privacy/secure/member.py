"""A site's side of a secure sum: it hides its numbers, deals out shares, and gives shares back once.

Nothing random is drawn: masks, shares and nonces are derived from the site's secret, the terms and the very numbers
that they hide (as in synthetic initialisation vectors). So a request that comes twice is answered twice the same, and
other numbers under the same terms never meet the same self mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medfl.errors import SecureError, TooFewError, listed
from medfl.learn.statistic import Array
from medfl.messages import Arrays, Json
from medfl.privacy.secure.graph import Graph, graph_of
from medfl.privacy.secure.identity import Identity, require_known, signed_key, verified_key
from medfl.privacy.secure.ring import encoded, layout_of, layout_to_json, needed_bits
from medfl.privacy.secure.shamir import dealt
from medfl.privacy.secure.stream import LIMBS, Ring, Seed, add_stream, committed, derived, extracted, seed, worded
from medfl.privacy.secure.terms import Terms
from medfl.privacy.secure.unmasked import Closing, Unmasked, require_first

NONCE, TAG = 12, 16
"""Bytes that encryption adds to a bundle of shares."""


class Member:
    """One site.

    Parameters
    ----------
    site
        Its name.
    identity
        Its lasting key.
    directory
        The identities (32 bytes) of the sites that it knows; what the hub says of them is checked against it.
    unmasked
        Where it notes what it has helped to unmask.
    fewest
        Sites that must be in any sum it takes part in.
    """

    def __init__(
        self,
        site: str,
        identity: Identity,
        directory: Mapping[str, bytes],
        *,
        unmasked: Unmasked,
        fewest: int = 3,
    ) -> None:
        self.site = site
        self._identity = identity
        self._directory = directory
        self._unmasked = unmasked
        self._fewest = fewest
        self._keys: dict[tuple[str, str], _Keys] = {}
        self.known = len({*directory, site})
        """How many sites it knows, itself among them."""

    def hello(self, run: str, session: str) -> Json:
        """Return the site's signed public key of a run, as JSON: ``site``, ``key``, ``signature``."""
        own = self._own(run, session)
        return signed_key(self._identity, own.key, site=self.site, run=run, session=session)

    def masked(self, opening: Json, arrays: Mapping[str, Array], *, asked: bytes) -> tuple[Json, Arrays]:
        """Return the site's numbers under masks, with shares of what undoes them.

        Parameters
        ----------
        opening
            What the hub says of this sum (:meth:`~medfl.privacy.secure.collector.Collector.opening_for`).
        arrays
            Float64 and int64 arrays by name.
        asked
            What the sites were asked for: the request's words and numbers that are the same for all, or a digest of
            them. Masks cancel only among sites that were asked the same, so that a hub cannot tell one site's answer
            apart by asking the others for something else (Pasquini et al. 2022).

        Returns
        -------
        tuple[Json, Arrays]
            ``masked`` (uint64, (words,)), ``bundles`` (uint8, (holders, bytes)) and ``commitments`` (uint8,
            (holders, 16)). Or no arrays, and in the content under ``needs`` the bits that an array needs.

        Raises
        ------
        SecureError
            If the terms or a peer's key must not be accepted.
        DivergedError, DataError
            If the numbers cannot be summed.
        """
        terms, graph = self._agreed(opening)
        pairs = self._pairs(terms, graph, opening.get("keys"), graph.neighbours(self.site))
        about = hashlib.sha256(asked).digest()
        if needs := needed_bits(arrays, bits=terms.bits):
            return {"asked": about.hex(), "needs": needs}, {}
        vector = encoded(arrays, sites=len(terms.cohort), bits=terms.bits)
        round = _Round(self._own(terms.run, terms.session).secret, self.site, context(terms, about))
        sealed, commitments = round.mask(vector, pairs, graph)
        layout = layout_to_json(layout_of(arrays))
        return {"asked": about.hex(), "layout": layout}, {
            "masked": vector,
            "bundles": sealed,
            "commitments": commitments,
        }

    def shares(self, closing: Json, arrays: Arrays) -> tuple[Json, Arrays]:
        """Return this site's shares of what is left over: self masks of sites in the sum, their pairs with lost ones.

        Parameters
        ----------
        closing, arrays
            What the hub says (:meth:`~medfl.privacy.secure.collector.Collector.closing_for`): which sites are in the
            sum, and what each of them has for this one.

        Returns
        -------
        tuple[Json, Arrays]
            ``shares`` (uint16, (rows, 16)): for each of this site's holders that is in the sum, in their order, its
            self mask, then its pairs with neighbours that are not.

        Raises
        ------
        SecureError
            If the hub must not have them: a list that is not clean, a second list, bundles that are not the peers'.
        TooFewError
            If too few sites are in the sum.
        """
        terms, graph = self._agreed(closing)
        survivors = self._survivors(closing, terms)
        about = _hex(closing.get("asked"), terms)
        givers = [holder for holder in graph.holders(self.site) if holder in survivors]
        self._require_hidden(graph, givers, survivors, terms)
        bundles = _bundles(arrays, len(givers), graph.kind.holders, terms)
        pairs = self._pairs(terms, graph, closing.get("keys"), [giver for giver in givers if giver != self.site])
        round = _Round(self._own(terms.run, terms.session).secret, self.site, context(terms, about))
        opened = [round.opened(giver, bundle, pairs) for giver, bundle in zip(givers, bundles, strict=True)]
        chosen = [
            shares[[0, *(row for row, peer in enumerate(graph.neighbours(giver), 1) if peer not in survivors)]]
            for giver, shares in zip(givers, opened, strict=True)
        ]
        digest = hashlib.sha256(bundles.tobytes()).digest()
        require_first(self._unmasked, Closing(terms, tuple(sorted(survivors)), about, digest))
        return {}, {"shares": np.concatenate(chosen)}

    def meet(self, directory: Mapping[str, bytes]) -> None:
        """Know these sites from now on, and no others: somebody was enrolled, or revoked."""
        self._directory = directory
        self.known = len({*directory, self.site})

    def _agreed(self, said: Json) -> tuple[Terms, Graph]:
        terms = Terms.read(said.get("terms"))
        if self.site not in terms.cohort:
            raise SecureError(
                "this site is asked for a sum that it is not part of", where=terms.where, remedy="ask its cohort only"
            )
        # Also those that are no neighbours: names that the hub makes up would let it choose who is whose.
        require_known(terms.cohort, {*self._directory, self.site})
        return terms, graph_of(terms.cohort, terms.session)

    def _survivors(self, closing: Json, terms: Terms) -> frozenset[str]:
        """Return the sites in the sum, where the hub's two lists are clean."""
        alive, dead = closing.get("survivors"), closing.get("dropped")
        if not (isinstance(alive, list) and isinstance(dead, list) and all(type(site) is str for site in alive + dead)):
            raise _refused("the hub says not who is in the sum and who is not", terms)
        if both := sorted(set(alive) & set(dead)):
            raise _refused("the hub names a site both in the sum and lost", terms, f"site {both[0]}")
        if sorted(alive + dead) != list(terms.cohort):
            raise _refused("the hub's lists are not the sites that were asked", terms, "a name too many or too few")
        if self.site not in alive:
            raise _refused("the hub says that this site is lost, and asks it for shares", terms)
        needed = max(terms.threshold, self._fewest)
        if len(alive) < needed:
            raise TooFewError(
                "too few sites are in the sum to unmask it",
                where=terms.where,
                received=f"{len(alive)} of {len(terms.cohort)}, where {needed} must be",
                remedy="wait until more sites are back, then resume the run",
            )
        return frozenset(alive)

    def _require_hidden(self, graph: Graph, givers: list[str], survivors: frozenset[str], terms: Terms) -> None:
        """Refuse to unmask a site around which nearly everybody is said to be lost."""
        for giver in givers:
            left = sum(holder in survivors for holder in graph.holders(giver))
            if left < graph.kind.quorum:
                raise TooFewError(
                    "too few neighbours of a site are in the sum to unmask it",
                    where=f"{terms.where}, site {giver}",
                    received=f"{left} of {graph.kind.holders}, where {graph.kind.quorum} must be",
                    remedy="wait until more sites are back, then resume the run",
                )

    def _own(self, run: str, session: str) -> _Keys:
        """Return the site's keys of a run; they are derived, so that another process of the site has the same."""
        if (run, session) not in self._keys:
            while len(self._keys) >= _SESSIONS:
                del self._keys[next(iter(self._keys))]
            secret = self._identity.derived("medfl secure secret", run, session)
            key = X25519PrivateKey.from_private_bytes(self._identity.derived("medfl secure key", run, session))
            self._keys[run, session] = _Keys(key, secret)
        return self._keys[run, session]

    def _pairs(self, terms: Terms, graph: Graph, said: object, peers: tuple[str, ...] | list[str]) -> dict[str, bytes]:
        """Return what this site shares with each of these peers, whose keys the hub must bring signed."""
        if not isinstance(said, Mapping):
            raise _refused("the hub brings no keys", terms)
        if missing := [peer for peer in peers if peer not in said]:
            raise _refused("the hub brings no key of a peer", terms, f"none of {listed(missing)}")
        own = self._own(terms.run, terms.session)
        return {peer: self._pair(own, terms, peer, said[peer]) for peer in peers}

    def _pair(self, own: _Keys, terms: Terms, peer: str, said: Json) -> bytes:
        known = own.pairs.get(peer)
        if known is not None and known[0] == said:
            return known[1]
        key = verified_key(said, self._directory, site=peer, run=terms.run, session=terms.session)
        if known is not None and known[0]["key"] != said["key"]:
            raise _refused("a peer's key has changed within one run", terms, f"another key of {peer}")
        try:
            shared = own.key.exchange(key)
        except ValueError as error:
            raise _refused("a peer's key agrees with nobody's", terms, f"a degenerate key of {peer}") from error
        own.pairs[peer] = (dict(said), extracted(shared))
        return own.pairs[peer][1]


_SESSIONS = 16
"""Runs whose keys are kept at hand; others are derived again."""


@dataclass(slots=True)
class _Keys:
    """A site's keys of one run, and what it has agreed on with peers."""

    key: X25519PrivateKey
    secret: bytes
    pairs: dict[str, tuple[Json, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Round:
    """A site's secrets of one sum: of these terms, and of answers to one question."""

    secret: bytes
    site: str
    context: bytes

    def mask(self, vector: Ring, pairs: Mapping[str, bytes], graph: Graph) -> tuple[Array, Array]:
        """Mask a vector in place; return a sealed bundle for each holder and commitments to the seeds."""
        numbers = hashlib.sha256(vector.data).digest()
        seeds = [seed(self.secret, "self", self.context, numbers)]
        add_stream(vector, seeds[0])
        for peer in graph.neighbours(self.site):
            low, high = sorted((self.site, peer))
            seeds.append(seed(pairs[peer], "pair", self.context, low, high))
            add_stream(vector, seeds[-1], negative=self.site == high)
        secret = derived(self.secret, "shares", self.context, numbers)
        kind = graph.kind
        shares = dealt(np.stack(seeds), secret, holders=kind.holders, quorum=kind.quorum)
        sealed = [
            self._sealed(holder, mine.tobytes(), pairs, numbers)
            for holder, mine in zip(graph.holders(self.site), shares, strict=True)
        ]
        commitments = b"".join(committed(one) for one in seeds)
        return _rows(b"".join(sealed), kind.holders), _rows(commitments, kind.holders)

    def _sealed(self, holder: str, shares: bytes, pairs: Mapping[str, bytes], numbers: bytes) -> bytes:
        nonce = derived(self.secret, "nonce", self.context, numbers, holder)[:NONCE]
        key = self._key(self.site, holder, pairs)
        return nonce + ChaCha20Poly1305(key).encrypt(nonce, shares, self._name(self.site, holder))

    def opened(self, giver: str, bundle: Array, pairs: Mapping[str, bytes]) -> Seed:
        """Return the shares that a bundle holds, shape (seeds, 16)."""
        body = bundle.tobytes()
        try:
            key = self._key(giver, self.site, pairs)
            shares = ChaCha20Poly1305(key).decrypt(body[:NONCE], body[NONCE:], self._name(giver, self.site))
        except InvalidTag as error:
            raise SecureError(
                "a peer's shares are not what that peer sent for this sum",
                where=f"site {giver}",
                received="a bundle that its key does not open",
                remedy="nothing was sent; start a new run, and tell whoever runs the hub",
            ) from error
        return np.frombuffer(shares, "<u2").reshape(-1, LIMBS)

    def _key(self, giver: str, holder: str, pairs: Mapping[str, bytes]) -> bytes:
        peer = holder if giver == self.site else giver
        shared = self.secret if peer == self.site else pairs[peer]
        return derived(shared, "bundle", self.context, giver, holder)

    def _name(self, giver: str, holder: str) -> bytes:
        return worded(self.context, giver, holder)


def context(terms: Terms, about: bytes) -> bytes:
    """Return what every secret of a sum belongs to: its terms, and a digest of what was asked."""
    return hashlib.sha256(worded("medfl secure sum", terms.digest, about)).digest()


def _rows(body: bytes, rows: int) -> Array:
    return np.frombuffer(body, np.uint8).reshape(rows, -1)


def _bundles(arrays: Arrays, givers: int, holders: int, terms: Terms) -> Array:
    """Return one bundle for each giver, where they have the size they must have."""
    bundles = arrays.get("bundles")
    size = NONCE + 2 * LIMBS * holders + TAG
    if bundles is None or bundles.dtype != np.uint8 or bundles.shape != (givers, size):
        found = "none" if bundles is None else f"{bundles.dtype}{list(bundles.shape)}"
        raise _refused("the hub brings not one bundle of shares for each site in the sum", terms, found)
    return bundles


def _hex(said: object, terms: Terms) -> bytes:
    try:
        return bytes.fromhex(said if isinstance(said, str) else "-")
    except ValueError as error:
        raise _refused("the hub says not what the sites were asked", terms) from error


def _refused(what: str, terms: Terms, received: str = "") -> SecureError:
    return SecureError(what, where=terms.where, received=received, remedy="nothing was sent; tell whoever runs the hub")
