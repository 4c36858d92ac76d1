"""Real hospitals, a published table, and a hundred thousand people: what the spine must reach."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev

import pytest

from medfl.simulate import simulate


@pytest.mark.slow
def test_flambys_heart_disease_rows(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = simulate(shared / "studies" / "heart.toml", home=tmp_path, progress=False).summary
    published = {"fedavg": (0.685, 0.03), "fedyogi": (0.731, 0.02)}
    with capsys.disabled():
        for arm, (expected, tolerance) in published.items():
            averages = [
                fmean(site["metrics"]["accuracy"] for site in run["sites"].values())
                for run in summary["runs"]
                if run["arm"] == arm
            ]
            print(f"\nheart {arm}: {fmean(averages):.3f} (sd {stdev(averages):.3f}), published {expected}", end="")
            assert len(averages) == 5
            assert fmean(averages) == pytest.approx(expected, abs=tolerance)
    rows = {name: (site["train_rows"], site["test_rows"]) for name, site in summary["runs"][0]["sites"].items()}
    assert rows == {"cleveland": (199, 104), "hungary": (172, 89), "switzerland": (30, 16), "va-long-beach": (85, 45)}


RULES = """
[[arm]]
name = "fedprox"
algorithm = { kind = "fedprox", mu = 0.01 }
training = { learning_rate = 0.001 }

[[arm]]
name = "scaffold"
algorithm = { kind = "scaffold", server_learning_rate = 1.0 }
training = { learning_rate = 0.001 }

[[arm]]
name = "fedadam"
algorithm = { kind = "fedadam", server_learning_rate = 0.01, beta1 = 0.9, beta2 = 0.999, tau = 1e-8 }
training = { learning_rate = 0.01 }

[[arm]]
name = "fedadagrad"
algorithm = { kind = "fedadagrad", server_learning_rate = 0.316228, beta1 = 0.9, tau = 1e-8 }
training = { learning_rate = 0.003162 }
"""


@pytest.mark.slow
def test_flambys_other_rules(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each rule's mean accuracy over hospitals and five seeds lies within one published standard deviation.

    FLamby's servers all keep a momentum of 0.9, its FedAdagrad too.
    """
    text = (shared / "studies" / "heart.toml").read_text(encoding="utf-8")
    asked = tmp_path / "rules.toml"
    asked.write_text(text.partition("[[arm]]")[0].replace("../data", str(shared / "data")) + RULES, encoding="utf-8")
    summary = simulate(asked, home=tmp_path, progress=False).summary
    published = {
        "fedprox": (0.685, 0.028),
        "scaffold": (0.684, 0.028),
        "fedadam": (0.726, 0.014),
        "fedadagrad": (0.731, 0.013),
    }
    for arm, (expected, deviation) in published.items():
        averages = [
            fmean(site["metrics"]["accuracy"] for site in run["sites"].values())
            for run in summary["runs"]
            if run["arm"] == arm
        ]
        with capsys.disabled():
            print(f"\nheart {arm}: {fmean(averages):.3f} (sd {stdev(averages):.3f}), published {expected}", end="")
        assert len(averages) == 5
        assert fmean(averages) == pytest.approx(expected, abs=deviation)


@pytest.mark.slow
def test_diabetes_is_close_to_centralised(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = simulate(shared / "studies" / "diabetes.toml", home=tmp_path, progress=False).summary
    federated = {run["arm"]: run["metrics"]["auc"] for run in summary["runs"]}
    (centralised,) = [b["metrics"]["auc"] for b in summary["baselines"] if b["baseline"] == "centralised"]
    alone = {b["site"]: b["metrics"]["auc"] for b in summary["baselines"] if b["baseline"] == "local-only"}
    by_site = {name: site["metrics"]["auc"] for name, site in summary["runs"][0]["sites"].items()}
    worst = min(by_site, key=lambda name: by_site[name])
    with capsys.disabled():
        print(f"\ndiabetes: pooled AUC {federated}, centralised {centralised:.4f}", end="")
        print(f"; worst site {worst} {by_site[worst]:.4f}, alone {alone[worst]:.4f}", end="")
        print(f"; alone from {min(alone.values()):.4f} to {max(alone.values()):.4f}", end="")
    assert federated["fedavg"] >= 0.955
    assert federated["fedavg"] == pytest.approx(centralised, abs=0.01)
    assert len(alone) == len(by_site) == 10
