"""One hospital of nine lies about what it learned: what each rule makes of it.

Each test says what was tried and what came of it (``pytest -rP`` shows it). The hospitals' data are made here, from a
seed: a logistic model of five numbers, AUC about 0.9 when all are honest. The liar's own test rows are honest, so that
the AUC of the final model over all test rows says what the lie did to the model and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest

from medfl.events import Evaluated
from medfl.messages import Refusal, Reply
from medfl.testing.federation import Through, in_process, rehearse, sites, study

SITES = 9
ROWS = 120
ROUNDS = 12
LIAR = "h4"

Change = np.ndarray
Lie = Callable[[Mapping[str, Change]], Change]
"""From every site's honest change, the liar's own among them, to what the liar sends: it knows everything."""


def table(seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(ROWS, 5))
    risk = features @ np.array([1.5, -1.2, 0.8, 0.5, 0.0]) + draw.logistic(size=ROWS) * 0.7
    columns = {f"x{place}": features[:, place].round(3) for place in range(5)}
    return pd.DataFrame(columns | {"sick": (risk > 0).astype(int)})


def flipped(honest: Mapping[str, Change]) -> Change:
    """The opposite of what it learned, ten times as much."""
    return -10 * honest[LIAR]


def noise(honest: Mapping[str, Change]) -> Change:
    """Noise a hundred times the size of an honest change."""
    size = float(np.linalg.norm(honest[LIAR]))
    return 100 * size * np.random.default_rng(5).normal(size=honest[LIAR].shape)


def little(honest: Mapping[str, Change]) -> Change:
    """A little is enough (Baruch et al. 2019): 1.5 standard deviations of the honest ones off their mean, all one way.

    No single number is out of the ordinary; the sum of many rounds is.
    """
    others = np.stack([change for name, change in honest.items() if name != LIAR])
    return np.asarray(others.mean(axis=0) - 1.5 * others.std(axis=0) * np.sign(others.mean(axis=0)))


LIES: dict[str, Lie] = {"flipped": flipped, "noise": noise, "little": little}
ROBUST: dict[str, dict[str, object]] = {
    "fedmedian": {},
    "trimmed-mean": {"trim": 0.2},
    "krum": {"byzantine": 1},
    "multi-krum": {"byzantine": 1},
    "bulyan": {"byzantine": 1},
    "rfa": {},
}


def told(kind: str, lie: Lie | None, answers: list[Reply | Refusal]) -> list[Reply | Refusal]:
    """Return the answers of an exchange with the liar's in place of its honest one."""
    replies = {one.site: one for one in answers if isinstance(one, Reply) and "update/delta" in one.arrays}
    if lie is None or not replies:
        return answers
    rows = {name: float(one.arrays["update/weight"]) if kind == "fedavg" else 1.0 for name, one in replies.items()}
    honest = {name: one.arrays["update/delta"] / rows[name] for name, one in replies.items()}
    poisoned = {**replies[LIAR].arrays, "update/delta": lie(honest) * rows[LIAR]}
    return [
        replace(one, arrays=poisoned) if one is replies.get(one.site) and one.site == LIAR else one for one in answers
    ]


@cache
def auc(kind: str, lie: str | None) -> float:
    """Return the pooled AUC of the final model."""
    options = ROBUST.get(kind, {})
    asked = study(algorithm={"kind": kind, "rounds": ROUNDS, **options}, evaluation={"bootstrap": 0})
    with TemporaryDirectory() as folder:
        openers = {f"h{number}": partial(table, number) for number in range(SITES)}
        crew = {name: one for name, one in sites(Path(folder), openers).items() if name in openers}
        engine = Through(in_process(crew), partial(told, kind, LIES[lie] if lie else None))
        events, error = rehearse(asked, engine)
    assert error is None
    (judged,) = (event.pooled["auc"] for event in events if isinstance(event, Evaluated) and event.final)
    assert judged is not None
    return judged


def test_fedavg_falls() -> None:
    clean = auc("fedavg", None)
    fallen = {lie: auc("fedavg", lie) for lie in LIES}
    print(f"FedAvg, clean {clean:.3f};", ", ".join(f"{lie} {value:.3f}" for lie, value in fallen.items()))
    assert clean > 0.85
    assert fallen["flipped"] < clean - 0.3
    assert fallen["noise"] < clean - 0.1


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", ROBUST)
def test_robust_rules_hold(kind: str, lie: str) -> None:
    """The AUC stays within 0.02 of FedAvg's among honest sites; within 0.03 for Krum, which learns from one site."""
    clean, poisoned, honest = auc("fedavg", None), auc(kind, lie), auc(kind, None)
    print(f"{kind}, {lie}: {poisoned:.3f}; all honest {honest:.3f}, FedAvg all honest {clean:.3f}")
    assert poisoned > clean - (0.03 if kind == "krum" else 0.02)


def test_robust_rules_cost_little_where_all_are_honest() -> None:
    clean = auc("fedavg", None)
    honest = {kind: auc(kind, None) for kind in ROBUST}
    print(f"FedAvg {clean:.3f};", ", ".join(f"{kind} {value:.3f}" for kind, value in honest.items()))
    assert all(value > clean - 0.03 for value in honest.values())
