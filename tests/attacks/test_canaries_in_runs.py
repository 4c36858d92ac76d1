"""A hub that is curious, in a whole run: which canaries are in a site's table, from what it sent for training?

As ``test_membership.py`` has it, but through all that a study goes through: preprocessing, the budget that solves
for the noise, two rounds of three sites, the journal. With noise the guesses prove less than the ε of the study; the
same study without it proves more.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medfl.messages import Refusal, Reply
from medfl.privacy.audit import Guesses, guessed, one_run_bound
from medfl.run.loop import Federation, carry_out
from medfl.run.plan import compile
from medfl.site.answer import Site
from medfl.site.memory import FolderVault
from medfl.site.purse import purse_in
from medfl.spec.study import Study
from medfl.testing.federation import Kept, Through, in_process, told

CANARIES, GUESSES, PATIENTS = 400, 300, 120
NAMES = [f"c{number:03d}" for number in range(CANARIES)]
EPSILON, DELTA = 1.0, 1e-5


def asked(dp: bool) -> Study:
    promise: dict[str, Any] = {
        "unit": "record",
        "epsilon": EPSILON,
        "delta": DELTA,
        "clip_norm": 0.5,
        "ranges": {name: [0, 1] for name in NAMES},
        "categories": {"sick": ["0", "1"]},
    }
    return Study.model_validate(
        {
            "study": {"name": "canaries", "question": "Who is in the table?", "seed": 3},
            "data": {"target": "sick"},
            "preprocess": {"scale": "none", "impute": "drop"},
            "model": {"kind": "logistic"},
            "training": {"learning_rate": 2.0, "batch_size": 100, "local_epochs": 5},
            "algorithm": {"kind": "fedavg", "rounds": 2},
            "evaluation": {"test_fraction": 0.05, "bootstrap": 0, "baselines": []},
            "privacy": {"secure_aggregation": False} | ({"dp": promise} if dp else {}),
        }
    )


def table(included: np.ndarray, seed: int) -> pd.DataFrame:
    """Return patients of whom nothing is known but the outcome, and the canaries that are included, all of them ill."""
    ill = np.random.default_rng(seed).integers(0, 2, PATIENTS)
    rows = np.concatenate([np.zeros((PATIENTS, CANARIES)), np.eye(CANARIES)[included]])
    outcome = np.concatenate([ill, np.ones(included.sum(), int)])
    return pd.DataFrame(rows, columns=NAMES).assign(sick=outcome)


def attacked(folder: Path, *, dp: bool) -> Guesses:
    """Run the study; guess from what one of the sites sent."""
    included = np.random.default_rng(1).random(CANARIES) < 0.5
    nobody = np.zeros(CANARIES, np.bool_)
    frames = {"east": table(included, 1), "north": table(nobody, 2), "west": table(nobody, 3)}
    hospitals = {
        name: Site(name, partial(pd.DataFrame, frame), vault=FolderVault(folder / name), purse=purse_in(folder, name))
        for name, frame in frames.items()
    }
    sent: list[np.ndarray] = []

    def overheard(answers: list[Reply | Refusal]) -> Iterator[Reply | Refusal]:
        for answer in answers:
            if isinstance(answer, Reply) and answer.site == "east" and "update/delta" in answer.arrays:
                sent.append(answer.arrays["update/delta"] / float(answer.arrays["update/weight"]))
            yield answer

    federation = Federation(Through(in_process(hospitals), overheard), Kept().write)
    _, error = told(carry_out("audit", compile(asked(dp))[0], federation))
    assert error is None
    assert len(sent) == 2
    surer = np.sum(sent, axis=0)[:CANARIES]  # the weight of each canary's column
    return guessed(surer, included, made=GUESSES)


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, float]:
    bounds = {}
    for dp in (True, False):
        guesses = attacked(tmp_path_factory.mktemp("run"), dp=dp)
        bounds[dp] = one_run_bound(guesses, delta=DELTA, confidence=0.99)
        print(
            f"{'ε = 1' if dp else 'no promise'}: {guesses.right} of {GUESSES} right, which proves ε > {bounds[dp]:.2f}"
        )
    return bounds


def test_a_run_with_a_promise_keeps_it(proved: dict[bool, float]) -> None:
    assert proved[True] < EPSILON


def test_the_same_run_without_one_is_found_out(proved: dict[bool, float]) -> None:
    assert proved[False] > EPSILON
