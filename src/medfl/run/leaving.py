"""Sites that people have decided to leave out of a run that goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from medfl.events import Drop, SiteDropped
from medfl.run.asking import Asking


def leaving(
    asking: Asking, decided: Callable[[int], Sequence[Drop]], *, among: Collection[str], round: int
) -> Iterator[SiteDropped]:
    """Ask those sites not any more that were dropped, and tell each of them once.

    Parameters
    ----------
    asking
        The hub's voice; it asks them not any more when the iterator is used up.
    decided
        Tells all that was decided by now for this round.
    among
        The run's sites.
    round
        The first round without them.
    """
    for drop in decided(round):
        if drop.site in among and drop.site not in asking.dropped:
            asking.dropped.add(drop.site)
            yield SiteDropped(
                run=asking.run, round=round, site=drop.site, by=drop.by, why=drop.why, decided=drop.decided
            )
