"""A tiny federation: three hospitals with tables made from a seed, a study of them, and a run of it in one call.

For tests of whatever takes part in a run. Everything in it is real but the patients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from medfl.errors import MedflError
from medfl.events import Event, RoundFinished
from medfl.learn.algorithm import Local
from medfl.learn.model import Examples, Model, Outcome
from medfl.messages import Refusal, Reply, Request
from medfl.privacy.secure.identity import Identity
from medfl.run.checkpoint import Checkpoint
from medfl.run.engine import Engine
from medfl.run.in_process import InProcess
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.site.answer import Site
from medfl.site.memory import FolderVault
from medfl.site.policy import Policy
from medfl.site.purse import purse_in
from medfl.site.sources import introduce
from medfl.spec.merging import Override
from medfl.spec.study import Study
from medfl.spec.training import SGD, LocalTraining

DECLARED: Mapping[str, Any] = MappingProxyType(
    {
        "ranges": {"age": [20, 100], "dose": [-4, 4]},
        "categories": {"colour": ["amber", "blue", "clear"], "sick": ["0", "1"]},
    }
)
"""What of these tables a study under differential privacy may know without looking."""
NAMES = ("east", "north", "west")
"""The hospitals, in the order in which their answers are folded."""
FEATURES = 4
"""Columns of :func:`examples`."""
BINARY = Outcome("binary", ("no", "yes"))
MULTICLASS = Outcome("multiclass", ("mild", "moderate", "severe"))
REGRESSION = Outcome("regression")


def table(rows: int, seed: int) -> pd.DataFrame:
    """Return a table whose outcome ``sick`` depends on two numbers and a category."""
    draw = np.random.default_rng(seed)
    age, dose = draw.normal(60, 10, rows).round(1), draw.normal(size=rows).round(3)
    colour = draw.choice(["amber", "blue", "clear"], rows)
    risk = (age - 60) / 10 + dose + (colour == "blue") + draw.normal(0, 0.7, rows)
    return pd.DataFrame({"age": age, "dose": dose, "colour": colour, "sick": (risk > 0.4).astype(int)})


def tables() -> dict[str, pd.DataFrame]:
    """Return the hospitals' tables, of different sizes, by name."""
    return {name: table(60 + 30 * number, number) for number, name in enumerate(NAMES)}


def study(**changes: Override) -> Study:
    """Return a study of these tables, quick to train; `changes` are laid over its parts, as an arm's are.

    What a hospital sends is seen, for tests that look at it; ``privacy={"secure_aggregation": True}`` hides it.
    """
    base = {
        "study": {"name": "tiny", "question": "Does the toy disease show in two numbers and a colour?", "seed": 7},
        "data": {"target": "sick"},
        "training": {"batch_size": 16},
        "algorithm": {"kind": "fedavg", "rounds": 2},
        "evaluation": {"bootstrap": 20},
        "privacy": {"secure_aggregation": False},
    }
    return Study.model_validate(base).overridden(changes)


def sites(
    folder: Path,
    openers: Mapping[str, Callable[[], pd.DataFrame]] | None = None,
    *,
    policies: Mapping[str, Policy] | None = None,
) -> dict[str, Site]:
    """Return the hospitals.

    Parameters
    ----------
    folder
        Where they keep what they never send.
    openers
        What opens a hospital's table, where that is not its own of :func:`tables`.
    policies
        What a hospital allows, where that is not the default.
    """
    opens = {name: partial(pd.DataFrame, frame) for name, frame in tables().items()} | dict(openers or {})
    allows = policies or {}
    hospitals = {
        name: Site(
            name,
            opens[name],
            vault=FolderVault(folder / name),
            policy=allows.get(name),
            base=folder,
            purse=purse_in(folder, name),
        )
        for name in sorted(opens)
    }
    introduce(hospitals, Identity(bytes(32)))
    return hospitals


def in_process(hospitals: Mapping[str, Site]) -> InProcess:
    """Return the engine that reaches these hospitals in this process."""
    return InProcess({name: site.answer for name, site in hospitals.items()})


@dataclass(frozen=True, slots=True)
class Through:
    """An engine that passes the answers of another through a function, such as one that shuffles them."""

    engine: Engine
    change: Callable[[list[Reply | Refusal]], Iterable[Reply | Refusal]]

    def sites(self) -> Sequence[str]:
        """Return the other engine's sites."""
        return self.engine.sites()

    def exchange(self, requests: Iterable[Request], *, timeout: float | None = None) -> Iterator[Reply | Refusal]:
        """Collect all answers, change them, and yield what is left."""
        yield from self.change(list(self.engine.exchange(requests, timeout=timeout)))


class Kept(dict[str, bytes]):
    """Artefacts in memory, by their sha256."""

    def write(self, body: bytes) -> str:
        """Keep a body and return its digest."""
        digest = hashlib.sha256(body).hexdigest()
        self[digest] = body
        return digest


def rehearse(
    asked: Study, engine: Engine, *, kept: Kept | None = None, start: Checkpoint | None = None
) -> tuple[list[Event], MedflError | None]:
    """Carry out the study's first arm; return what happened, and the error that stopped it if one did."""
    plan = compile(asked)[0]
    keep = (Kept() if kept is None else kept).write
    return told(carry_out("rehearsal", plan, Federation(engine, keep), start=start))


def told(steps: Iterator[Event]) -> tuple[list[Event], MedflError | None]:
    """Return all events of a run, and the error that stopped it if one did."""
    events: list[Event] = []
    try:
        for event in steps:
            events.append(event)
    except MedflError as error:
        return events, error
    return events, None


def rounds(events: Iterable[Event]) -> list[tuple[int, tuple[str, ...], str]]:
    """Return the finished rounds: number, who took part, digest of the model."""
    return [(event.round, event.sites, event.model) for event in events if isinstance(event, RoundFinished)]


def overheard(asked: Study, hospitals: Mapping[str, Site]) -> list[tuple[Request, Reply | Refusal]]:
    """Carry out every run of the study but the centralised ones; return all that was asked and answered."""
    heard: list[tuple[Request, Reply | Refusal]] = []

    def listened(site: Site, request: Request) -> Reply | Refusal:
        answer = site.answer(request)
        heard.append((request, answer))
        return answer

    engine = InProcess({name: partial(listened, site) for name, site in hospitals.items()})
    for number, plan in enumerate(compile(asked)):
        if plan.role != "centralised":
            told(carry_out(f"overheard-{number}", plan, Federation(engine, Kept().write)))
    return heard


def examples(outcome: Outcome, *, rows: int = 40, seed: int = 0) -> Examples:
    """Return rows ready to learn from; the outcome depends on three of the four features."""
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((rows, FEATURES)).astype(np.float32)
    signal = features @ np.array([1.0, -1.0, 0.5, 0.0]) + 0.5 * draw.standard_normal(rows)
    truth = {"binary": signal > 0, "multiclass": np.digitize(signal, [-1, 1]), "regression": signal}[outcome.kind]
    return Examples(features, np.asarray(truth, np.float32))


def local(model: Model, rows: Examples, *, site: str, round: int, how: LocalTraining | None = None) -> Local:
    """Return what an algorithm sees of a hospital with these rows."""
    return Local(model, rows, how or SGD(batch_size=16), None, site, round)
