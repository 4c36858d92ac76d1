"""Fills the page: each `<!-- NAME -->` … `<!-- end -->` gets its table or figure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import figures
from estimates import after, difference, of_sites, of_worst, pooled, seconds, sensitivity, ways

from medfl.publish.wording import difference as signed
from medfl.publish.wording import with_interval
from medfl.store.comparison import Estimate
from medfl.store.views import ExecutionView, RunView

Views = Mapping[str, ExecutionView]
SPLITS = {
    "iid": "Rows dealt at random",
    "age": "One age band a hospital",
    "dirichlet": "Dirichlet 0.5: sizes and case mix differ",
}
NAMES = {
    "alone": "each hospital alone",
    "fedavg": "FedAvg",
    "fedprox": "FedProx, μ 0.01",
    "fedyogi": "FedYogi",
    "fedmedian": "FedMedian",
    "centralised": "all rows in one place",
    "logistic": "logistic regression",
    "mlp-64-32": "MLP 64-32",
    "mlp-4x64": "MLP 4 × 64",
    "own-module": "own PyTorch module",
    "from-scratch": "from scratch",
    "transferred": "transferred, all layers train",
    "only-the-head": "transferred, only the head trains",
    "head-then-all": "transferred, head first, then all",
    "as-described": "as described: raw features, sigmoid twice",
    "one-sigmoid": "raw features, one sigmoid",
    "one-sigmoid-scaled": "scaled features, one sigmoid",
}
_SLOT = re.compile(r"(<!-- (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


def filled(page: Path, views: Views) -> None:
    """Write the page anew, with everything between its marks replaced, and the figures beside it.

    A page that does not exist yet is made from the marks alone.
    """
    folder = page.parent / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    slots: dict[str, Callable[[], str]] = {
        **{f"{split}-table": lambda split=split: _splits(views, split) for split in SPLITS},
        "splits-figure": lambda: figures.splits(views, folder),
        "differences-table": lambda: _differences(views),
        "architectures-table": lambda: _architectures(views["architectures"]),
        "transfer-table": lambda: _transfer(views),
        "transfer-figure": lambda: figures.transfer(views, folder),
        "published-table": lambda: _published(views["published"]),
        "published-figure": lambda: figures.published(views["published"], folder),
        "time-table": lambda: _times(views),
    }
    text = page.read_text(encoding="utf-8") if page.exists() else _skeleton(slots)
    missing = set(slots) - {found["name"] for found in _SLOT.finditer(text)}
    if missing:
        raise SystemExit(f"{page} has no place for: {', '.join(sorted(missing))}")
    page.write_text(_SLOT.sub(lambda found: f"{found[1]}{slots[found['name']]()}\n{found[4]}", text), encoding="utf-8")


def _skeleton(slots: Mapping[str, object]) -> str:
    return "\n".join(f"<!-- {name} -->\n<!-- end -->\n" for name in slots)


def _splits(views: Views, split: str) -> str:
    ten, five = ways(views[f"{split}-10"]), ways(views[f"{split}-5"])
    rows = [
        [
            NAMES[name],
            told(pooled(runs, "auc")),
            told(pooled(five[name], "auc")),
            told(of_sites(runs, "auc")),
            told(of_worst(runs, "auc")),
            told(sensitivity(runs), "sensitivity"),
            told(pooled(runs, "calibration_slope"), "calibration_slope"),
        ]
        for name, runs in ten.items()
    ]
    head = ["", "AUC, 10 sites", "AUC, 5 sites", "mean of 10 sites", "worst of 10", "sensitivity¹", "slope²"]
    return table(head, rows)


def _differences(views: Views) -> str:
    rows = []
    for split, words in SPLITS.items():
        for sites in (10, 5):
            found = ways(views[f"{split}-{sites}"])
            gap = difference(found["fedavg"], found["centralised"])
            gain = difference(found["fedavg"], found["alone"], sites=True)
            rows.append([f"{words}, {sites} sites", signed(gap), signed(gain)])
    return table(["", "FedAvg − all rows in one place", "FedAvg − alone, mean of sites"], rows)


def _architectures(view: ExecutionView) -> str:
    rows = [
        [NAMES[name], *_judged(runs), told(pooled(runs, "calibration_slope"), "calibration_slope"), _seconds(runs)]
        for name, runs in view.arms.items()
    ]
    return table(["", "AUC", "worst site", "sensitivity¹", "slope²", "seconds a run"], rows)


def _judged(runs: Sequence[RunView]) -> Iterator[str]:
    yield told(pooled(runs, "auc"))
    yield told(of_worst(runs, "auc"))
    yield told(sensitivity(runs), "sensitivity")


def _transfer(views: Views) -> str:
    settings = {
        "scarce-age": "200 labelled patients a hospital, all 40 or older; pre-trained on people under 40",
        "scarce-half": "200 labelled patients a hospital; pre-trained on the other half of the population",
        "plenty-age": "4 361 labelled patients a hospital, all 40 or older; pre-trained on people under 40",
    }
    return "\n\n".join(f"**{words}**\n\n{_setting(views[name])}" for name, words in settings.items())


def _setting(view: ExecutionView) -> str:
    arms = view.arms
    scratch = arms["from-scratch"]
    rows = []
    for name, runs in arms.items():
        first, last = after(runs, 1), pooled(runs, "auc")
        verdict = "" if name == "from-scratch" else _verdict(first, last, after(scratch, 1), pooled(scratch, "auc"))
        rows.append([NAMES[name], told(first), told(last), told(sensitivity(runs), "sensitivity"), verdict])
    for name in ("alone", "centralised"):
        runs = ways(view)[name]
        last = pooled(runs, "auc") if name == "centralised" else of_sites(runs, "auc")
        rows.append([f"{NAMES[name]}, from scratch", "", told(last), told(sensitivity(runs), "sensitivity"), ""])
    return table(["", "AUC after round 1", "AUC in the end", "sensitivity¹", "against from scratch"], rows)


def _verdict(first: Estimate | None, last: Estimate | None, first0: Estimate | None, last0: Estimate | None) -> str:
    return f"round 1: {_apart(first, first0)}; end: {_apart(last, last0)}"


def _apart(one: Estimate | None, other: Estimate | None) -> str:
    if one is None or other is None or None in (one.low, one.high, other.low, other.high):
        return "not known"
    if one.low > other.high:  # type: ignore[operator] # both are numbers here
        return "better"
    return "worse" if one.high < other.low else "not shown"  # type: ignore[operator]


def _published(view: ExecutionView) -> str:
    rows = [
        ["published, without transfer learning", "0.75–0.78", "", "0 at every site³", "", "", "392–444"],
        ["published, with transfer learning", "0.85–0.90", "", "", "", "", ""],
    ]
    for name, runs in view.arms.items():
        judged = (told(pooled(runs, metric), metric) for metric in ("sensitivity", "specificity"))
        ends = (told(pooled(runs, "auc")), told(after(runs, 1)))
        slope = told(pooled(runs, "calibration_slope"), "calibration_slope")
        rows.append([f"measured: {NAMES[name]}", *ends, *judged, slope, _seconds(runs)])
    at_half = ("sensitivity at 0.5", "specificity at 0.5")
    head = ["", "AUC in the end", "AUC after round 1", *at_half, "slope²", "seconds a run"]
    return table(head, rows)


def _times(views: Views) -> str:
    rows = [
        ["the published set-up, as published", "392–444"],
        ["the same network, data and passes in PyTorch, here", _seconds(views["published"].arms["as-described"])],
        ["the same passes with the built-in MLP 4 × 64, here", _seconds(views["published"].arms["one-sigmoid"])],
        [
            "MLP 64-32, ten rounds of one epoch, all 100 000 people, here",
            _seconds(views["dirichlet-10"].arms["fedavg"]),
        ],
    ]
    return table(["", "seconds a run"], rows)


def _seconds(runs: Sequence[RunView]) -> str:
    taken = seconds(runs)
    return f"{taken:.1f}" if taken < 10 else f"{taken:.0f}"


def told(estimate: Estimate | None, metric: str = "auc") -> str:
    """Return "0.961 (0.958–0.964)", inside what the metric can be; a dash where there is nothing."""
    return "–" if estimate is None else with_interval(estimate, metric=metric)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; numbers stand to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
