"""All pages about people, as an application takes them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import APIRouter

from medfl.hub.pages.drawn import Drawn
from medfl.hub.pages.people.kept import Sites, audited, changes_of_people, directory, kept_twins, sharing
from medfl.hub.pages.people.routes import entering, own, own_twin, providing
from medfl.hub.people.consortium import People


def people_rooms(people: People, sites: Sites) -> Callable[[Drawn], Sequence[APIRouter]]:
    """Return what makes the pages about people.

    Parameters
    ----------
    people
        Who they are.
    sites
        Gives the names of the hub's sites, which data owners speak for.
    """

    def rooms(drawn: Drawn) -> Sequence[APIRouter]:
        return (
            entering(people, drawn),
            providing(people, drawn),
            own_twin(people),
            own(people, drawn),
            kept_twins(people, sites),
            directory(people, drawn, sites),
            changes_of_people(people, drawn, sites),
            audited(people, drawn),
            sharing(drawn),
        )

    return rooms
