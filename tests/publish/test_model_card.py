from __future__ import annotations

from collections.abc import Callable

from medfl.publish.model_card import model_card
from medfl.spec.study import Study
from medfl.store.views import ExecutionView

Tell = Callable[..., ExecutionView]
Ask = Callable[..., Study]


def test_a_card_tells_use_data_numbers_limits_and_origin(demo: ExecutionView) -> None:
    run = demo.runs[0]
    card = model_card(run)
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == [
        "# Model card: breast-cancer, base, seed 1",
        "## Intended use",
        "## Data by site",
        "## How it was made",
        "## How well it does",
        "## Limits",
        "## Origin",
    ]
    assert f"| AUC | {run.metrics['auc']:.3f} |" in card
    assert "not a medical device" in card
    assert str(run.model) in card
    north = run.sites["north"]
    malignant = north.train_classes["malignant"] + north.test_classes["malignant"]
    assert f"| north | 112 | 28 | {malignant} (" in card
    assert "predicted from three columns (radius, texture and smooth)" in card


def test_a_card_speaks_of_its_own_arm_only(trial: ExecutionView) -> None:
    card = model_card(trial.arms["fedyogi"][0])
    assert "FedYogi" in card
    assert "In arm" not in card


def test_a_card_of_an_unfinished_run_says_so(tell: Tell, ask: Ask) -> None:
    card = model_card(tell(ask(evaluation={"baselines": []}), end="interrupted").runs[0])
    assert "**The run is interrupted after 6 of 12 rounds; this is its last good model.**" in card
    assert "The model was not judged." in card


def test_names_stay_text(tell: Tell) -> None:
    card = model_card(tell(sites={"<b>|x|_y_": 200, "z": 100}).runs[0])
    assert "&lt;b&gt;\\|x\\|\\_y\\_" in card
    assert "<b>" not in card


def test_several_classes_and_numbers_have_cards_too(tell: Tell, ask: Ask) -> None:
    assert "the class of malignant (mild, moderate and severe)" in model_card(tell(kind="multiclass").runs[0])
    numeric = model_card(tell(ask(model={"kind": "linear"}), kind="regression").runs[0])
    assert "the value of malignant" in numeric
    assert "| RMSE |" in numeric
