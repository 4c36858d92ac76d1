"""The hub's side of a secure sum: it adds up what it cannot read, and takes the masks off the total."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from medfl.errors import SecureError, TooFewError, listed
from medfl.learn.statistic import Array
from medfl.messages import Arrays, Json
from medfl.privacy.secure.graph import graph_of, quorum
from medfl.privacy.secure.member import NONCE, TAG
from medfl.privacy.secure.ring import (
    FINEST,
    WIDEST,
    Piece,
    bits_of,
    decoded,
    finer_bits,
    layout_from_json,
    require_alike,
    words_of,
)
from medfl.privacy.secure.shamir import together, weights
from medfl.privacy.secure.stream import LIMBS, PRIME, Ring, Seed, add_stream, committed
from medfl.privacy.secure.terms import Terms
from medfl.privacy.secure.unmasked import MOST


class Collector:
    """One attempt at one sum.

    Ask each site with :meth:`opening_for` and :meth:`take` what comes; if :meth:`again` then gives another collector,
    go on with that. Ask the survivors with :meth:`closing_for`, :meth:`take_shares`, and compute the :meth:`total`; if
    :meth:`again` gives another collector now, the total is too coarse: go on with that.

    Parameters
    ----------
    terms
        What the sum is about.
    keys
        The signed key of each site of the cohort, as it came (:meth:`~medfl.privacy.secure.member.Member.hello`).
    tight
        Names of arrays whose bits a site said it needs.

    Raises
    ------
    SecureError
        If the terms are such that no site would agree, or a key is missing.
    """

    def __init__(self, terms: Terms, keys: Mapping[str, Json], *, tight: Collection[str] = ()) -> None:
        terms.require()
        if missing := [site for site in terms.cohort if site not in keys]:
            raise SecureError(
                "sites without a key cannot be in a sum",
                where=terms.where,
                received=listed(missing),
                remedy="leave them out of the cohort",
            )
        self.terms = terms
        self._keys = keys
        self._graph = graph_of(terms.cohort, terms.session)
        self._tight = frozenset(tight)
        self._sum = _Sum(terms)
        self._needs: dict[str, int] = {}
        self._asked: tuple[str, str] | None = None
        self._in: dict[str, _Sent] = {}
        self._answered: set[str] = set()
        self._shares: dict[str, dict[int, Seed]] = {}
        self._gave: set[str] = set()
        self._finer: dict[str, int] = {}
        self._closed = self._unmasked = False

    def opening_for(self, site: str) -> Json:
        """Return what a site is told before it sends: the terms and its neighbours' signed keys."""
        return {"terms": self.terms.to_json(), "keys": self._keys_for(site)}

    def take(self, site: str, content: Json, arrays: Arrays) -> None:
        """Take what a site answered to its opening.

        Raises
        ------
        SecureError
            If it is malformed, comes twice or too late, or does not add up with what the others sent. Nothing of it was
            added, so the round can go on without the site.
        """
        self._require_awaited(site, self._answered, closed=self._closed)
        asked = content.get("asked")
        if not isinstance(asked, str):
            raise self._malformed(site, "no word of what it was asked")
        if self._asked is not None and self._asked[1] != asked:
            raise SecureError(
                "two sites were not asked the same",
                where=self.terms.where,
                received=f"different requests to {self._asked[0]} and {site}",
                remedy="send all sites the same words and numbers",
            )
        if "needs" in content:
            needs = _needs(content["needs"])
            if needs is None:
                raise self._malformed(site, "bits that are no numbers")
            if any(bits <= bits_of(name, self.terms.bits) for name, bits in needs.items()):
                raise self._malformed(site, "bits that it has already")
            for name, bits in needs.items():
                self._needs[name] = max(bits, self._needs.get(name, bits))
        else:
            self._in[site] = self._sum.add(site, content, arrays, self._graph.kind.holders)
        self._asked = self._asked or (site, asked)
        self._answered.add(site)

    @property
    def answered(self) -> tuple[str, ...]:
        """The sites that answered their opening, sorted: those in the sum, and those that need other bits."""
        return tuple(sorted(self._answered))

    @property
    def survivors(self) -> tuple[str, ...]:
        """The sites that are in the sum, sorted."""
        return tuple(sorted(self._in))

    @property
    def settled(self) -> bool:
        """Whether the sum has been unmasked, if in coarser steps: sites accept no other list for it any more."""
        return self._unmasked or self.terms.threshold > quorum(len(self.terms.cohort))

    def closing_for(self, site: str) -> tuple[Json, Arrays]:
        """Return what a site in the sum is told to unmask it; from now on nobody can join.

        Raises
        ------
        TooFewError
            If too few sites are in the sum: it is never unmasked.
        SecureError
            If the site is not in it, or the sum is to be asked for again with other bits.
        """
        self._close()
        if site not in self._in:
            raise SecureError("only sites in the sum can unmask it", where=self.terms.where, received=f"site {site}")
        givers = [holder for holder in self._graph.holders(site) if holder in self._in]
        bundles = np.stack([self._in[giver].bundles[self._graph.place(site, of=giver)] for giver in givers])
        dropped = [name for name in self.terms.cohort if name not in self._in]
        content = {
            "terms": self.terms.to_json(),
            "keys": self._keys_for(site),
            "survivors": list(self.survivors),
            "dropped": dropped,
            "asked": self._asked[1] if self._asked else "",
        }
        return content, {"bundles": bundles}

    def take_shares(self, site: str, content: Json, arrays: Arrays) -> None:
        """Take the shares that a site answered to its closing.

        Raises
        ------
        SecureError
            If they are malformed or come twice; the round can go on without them.
        """
        if site not in self._in or not self._closed:
            raise SecureError("shares of a site that was not asked for them", where=f"{self.terms.where}, site {site}")
        self._require_awaited(site, self._gave, closed=False)
        givers = [holder for holder in self._graph.holders(site) if holder in self._in]
        rows = [1 + len(self._lost_around(giver)) for giver in givers]
        shares = arrays.get("shares")
        if shares is None or shares.dtype != np.uint16 or shares.shape != (sum(rows), LIMBS):
            found = "none" if shares is None else f"{shares.dtype}{list(shares.shape)}"
            raise self._malformed(site, f"shares of another size: {found}")
        if (shares >= PRIME).any():
            raise self._malformed(site, "shares that are no numbers of the field")
        for giver, part in zip(givers, np.split(shares, np.cumsum(rows)[:-1]), strict=True):
            self._shares.setdefault(giver, {})[self._graph.place(site, of=giver)] = part
        self._gave.add(site)

    def total(self) -> dict[str, Array]:
        """Return the sums over the survivors, by name.

        Raises
        ------
        TooFewError
            If too few sites gave their shares. More may still come, also to the same closing asked again.
        SecureError
            If shares do not give the seeds that the sites committed to.
        """
        self._close()
        seeds = {site: self._seeds(site) for site in self.survivors}
        vector = self._sum.unmask(self.terms)
        if not self._unmasked:
            for site, (own, pairs) in seeds.items():
                add_stream(vector, own, negative=True)
                for peer, seed in pairs.items():
                    # The site added its stream if its name comes first.
                    add_stream(vector, seed, negative=site < peer)
        self._unmasked = True
        sites, bits, layout = len(self.terms.cohort), self.terms.bits, self._sum.layout
        sums = decoded(vector, layout, sites=sites, bits=bits)
        self._finer = finer_bits(sums, layout, sites=sites, bits=bits, tight=self._tight)
        return sums

    def again(self) -> Collector | None:
        """Return the next attempt, where bits did not fit: more of them for a site, or fewer for the sum.

        Once a sum has been unmasked, sites accept no other list for its round. Then the next attempt needs them all.

        Raises
        ------
        TooFewError
            If fewer sites are left than must be in the sum.
        SecureError
            If there have been more attempts than honest sites need.
        """
        bits = self._finer if self._unmasked else self._needs
        if not bits:
            return None
        if self.terms.attempt + 1 >= MOST:
            raise SecureError(
                "no bits fit the numbers of all sites",
                where=self.terms.where,
                received=f"{listed(sorted(bits))} after {MOST} attempts",
                remedy="run the same version of MEDfl at every site",
            )
        left = self.survivors if self._unmasked else self.answered
        self._require_enough(left, "are left for another attempt")
        terms = self.terms.again(left, bits, threshold=len(left) if self.settled else quorum(len(left)))
        return Collector(terms, self._keys, tight=self._tight | self._needs.keys())

    def _close(self) -> None:
        if self._needs:
            raise SecureError(
                "a sum is asked for again before it is unmasked",
                where=self.terms.where,
                received=f"other bits for {listed(sorted(self._needs))}",
                remedy="go on with what again() returns",
            )
        self._require_enough(self.survivors, "are in the sum")
        self._closed = True

    def _require_enough(self, sites: tuple[str, ...], which: str) -> None:
        if len(sites) < self.terms.threshold:
            lost = [site for site in self.terms.cohort if site not in sites]
            raise TooFewError(
                f"too few sites {which} for a sum that hides each of them",
                where=self.terms.where,
                received=f"{len(sites)} of {len(self.terms.cohort)}, where {self.terms.threshold} must be; "
                f"without {listed(lost)}",
                remedy="check the connections of these sites, then resume the run",
            )

    def _require_awaited(self, site: str, already: set[str], *, closed: bool) -> None:
        if site not in self.terms.cohort or site in already or closed:
            why = "it was not asked" if site not in self.terms.cohort else "it comes twice or too late"
            raise SecureError("an answer is not awaited", where=f"{self.terms.where}, site {site}", received=why)

    def _keys_for(self, site: str) -> dict[str, Json]:
        return {peer: self._keys[peer] for peer in self._graph.neighbours(site)}

    def _lost_around(self, site: str) -> list[str]:
        """Return the neighbours of a site that are not in the sum: their pair masks with it are left over."""
        return [peer for peer in self._graph.neighbours(site) if peer not in self._in]

    def _seeds(self, site: str) -> tuple[Seed, dict[str, Seed]]:
        """Put together a site's self mask and its pair masks with lost neighbours."""
        quorum, held = self._graph.kind.quorum, self._shares.get(site, {})
        if len(held) < quorum:
            raise TooFewError(
                "too few sites gave their shares to unmask the sum",
                where=f"{self.terms.where}, site {site}",
                received=f"{len(held)} of {self._graph.kind.holders}, where {quorum} must be",
                remedy="check the connections of the sites, then resume the run: the same list is answered again",
            )
        places = sorted(held)[:quorum]
        found = together(np.stack([held[place] for place in places]), self._sum.factors(tuple(places)))
        lost = self._lost_around(site)
        rows = [0, *(row for row, peer in enumerate(self._graph.neighbours(site), 1) if peer not in self._in)]
        for row, one in zip(rows, found, strict=True):
            if committed(one) != self._in[site].commitments[row].tobytes():
                raise SecureError(
                    "shares do not give the mask that a site committed to",
                    where=f"{self.terms.where}, site {site}",
                    received="a share that was changed at a site or on the way",
                    remedy="the sum was not computed; resume the run, and leave out a site that sends wrong shares",
                )
        return found[0], dict(zip(lost, found[1:], strict=True))

    def _malformed(self, site: str, received: str) -> SecureError:
        return _malformed(self.terms, site, received)


@dataclass(frozen=True, slots=True)
class _Sent:
    """What is kept of a site's answer besides its place in the sum."""

    bundles: Array
    commitments: Array


@dataclass(slots=True)
class _Sum:
    """The sum of masked vectors so far, and what it looks like."""

    terms: Terms
    first: str = ""
    layout: tuple[Piece, ...] = ()
    vector: Ring | None = None
    _factors: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict)

    def add(self, site: str, content: Json, arrays: Arrays, holders: int) -> _Sent:
        """Add a site's vector, if all that it sent is as it must be."""
        try:
            layout = layout_from_json(content.get("layout"))
        except (TypeError, ValueError) as error:
            raise _malformed(self.terms, site, "a layout that is none") from error
        if self.vector is not None:
            require_alike((self.first, self.layout), (site, layout))
        vector = _like(self.terms, site, arrays, "masked", ("uint64", (words_of(layout),)))
        size = NONCE + 2 * LIMBS * holders + TAG
        sent = _Sent(
            _like(self.terms, site, arrays, "bundles", ("uint8", (holders, size))),
            _like(self.terms, site, arrays, "commitments", ("uint8", (holders, 16))),
        )
        if self.vector is None:
            self.first, self.layout, self.vector = site, layout, vector.copy()
        else:
            self.vector += vector
        return sent

    def unmask(self, terms: Terms) -> Ring:
        """Return the vector, to take masks off."""
        if self.vector is None:
            raise TooFewError("no site is in the sum", where=terms.where)
        return self.vector

    def factors(self, places: tuple[int, ...]) -> np.ndarray:
        """Return the weights of these holders' shares; most sites have the same ones."""
        if places not in self._factors:
            self._factors[places] = weights(places)
        return self._factors[places]


def _like(terms: Terms, site: str, arrays: Arrays, name: str, kind: tuple[str, tuple[int, ...]]) -> Array:
    """Return an array of the type and shape that it must have."""
    array = arrays.get(name)
    if array is None or (str(array.dtype), array.shape) != kind:
        found = "none" if array is None else f"{array.dtype}{list(array.shape)}"
        raise _malformed(terms, site, f"{name}: {found}, where {kind[0]}{list(kind[1])} must be")
    return array


def _needs(said: object) -> dict[str, int] | None:
    """Return the bits that a site needs; None where it says something else."""
    if (
        isinstance(said, Mapping)
        and said
        and all(type(bits) is int and FINEST <= bits <= WIDEST for bits in said.values())
    ):
        return dict(said)
    return None


def _malformed(terms: Terms, site: str, received: str) -> SecureError:
    return SecureError(
        "a site's answer is not what it must be",
        where=f"{terms.where}, site {site}",
        received=received,
        remedy="run the same version of MEDfl at hub and sites",
    )
