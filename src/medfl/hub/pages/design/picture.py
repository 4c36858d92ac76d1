"""The arms as branches of one picture: what they share is one line, and each leaves it where it first differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medfl.hub.pages.design.form import STEPS, ArmForm

ACROSS, DOWN, EDGE = 120, 30, 20
"""Pixels from step to step, from arm to arm, and around the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """An arm as it is drawn.

    Parameters
    ----------
    name, place
        Its name, and its place among the arms, which gives its colour.
    path
        Its line, as SVG.
    points
        Where it differs: x and y of each such step, and what it is there.
    end
        Where its name stands.
    """

    name: str
    place: int
    path: str
    points: tuple[tuple[int, int, str], ...]
    end: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The whole picture.

    Parameters
    ----------
    width, height
        In pixels.
    steps
        x and title of each step.
    branches
        The arms; one where the study has none.
    words
        The picture in a sentence.
    """

    width: int
    height: int
    steps: tuple[tuple[int, str], ...]
    branches: tuple[Branch, ...]
    words: str


def picture_of(arms: Sequence[ArmForm]) -> Picture:
    """Return the picture of a study's arms."""
    names = list(STEPS)
    last = EDGE + ACROSS * len(names)
    drawn = [(arm.name, _differs(arm)) for arm in arms] or [("the study", {})]
    branches = tuple(_branch(place, name, differs, last) for place, (name, differs) in enumerate(drawn))
    return Picture(
        width=last + 150,
        height=2 * EDGE + 24 + DOWN * (len(drawn) - 1),
        steps=tuple((EDGE + ACROSS * at, title) for at, (title, _) in enumerate(STEPS.values())),
        branches=branches,
        words="; ".join(f"{name}: {', '.join(differs) or 'as designed'}" for name, differs in drawn),
    )


def _differs(arm: ArmForm) -> Mapping[str, str]:
    """Return what an arm is in each step in which it differs."""
    return {group.path.rpartition(".")[2]: group.kind or "changed" for group in arm.groups}


def _branch(place: int, name: str, differs: Mapping[str, str], last: int) -> Branch:
    trunk, y = EDGE + 24, EDGE + 24 + DOWN * place
    at = {step: EDGE + ACROSS * number for number, step in enumerate(STEPS)}
    first = min((at[step] for step in differs), default=last if place == 0 else EDGE + ACROSS)
    if y == trunk:
        path = f"M{EDGE} {trunk}H{last}"
    else:
        bend = first - ACROSS // 2
        path = f"M{max(EDGE, bend - 30)} {trunk}C{bend} {trunk} {bend} {y} {first - 10} {y}H{last}"
    points = tuple((at[step], y, kind) for step, kind in differs.items())
    return Branch(name=name, place=place, path=path, points=points, end=(last + 8, y + 4))
