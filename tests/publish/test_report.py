from __future__ import annotations

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from medfl.publish.report import report
from medfl.spec.study import Study
from medfl.store.folding import view_execution, view_run
from medfl.store.views import ExecutionView
from medfl.testing import story

Tell = Callable[..., ExecutionView]
Ask = Callable[..., Study]
VOID = {"meta", "br", "link", "img", "input", "hr"}
SECTIONS = [
    "glance",
    "cohort",
    "methods",
    "results",
    "course",
    "judgement",
    "sites",
    "compared",
    "left",
    "provenance",
    "limits",
]


class Outline(HTMLParser):
    """Checks that elements are closed in order, and collects ids, links and visible text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.links += [str(values[name]) for name in ("href", "src", "xlink:href") if values.get(name)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "title"):
            self.text.append(data)


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    return parsed


def words(html: str) -> str:
    return " ".join(" ".join(outline(html).text).replace("\u00a0", " ").split())


def tale(name: str, tell: Tell, ask: Ask) -> ExecutionView:
    tales: dict[str, Callable[[], ExecutionView]] = {
        "multiclass": lambda: tell(kind="multiclass"),
        "regression": lambda: tell(ask(model={"kind": "linear"}), kind="regression"),
        "six arms": lambda: tell(
            ask(arms=("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedadagrad"), rounds=3), samples=10
        ),
        "a hundred sites": lambda: tell(ask(rounds=2), sites={f"site-{n}": 40 + n for n in range(100)}, samples=5),
        "one site": lambda: tell(ask(evaluation={"baselines": []}), sites={"only": 200}),
        "no intervals": lambda: tell(ask(evaluation={"baselines": [], "bootstrap": 0}), samples=0),
        "one class": lambda: tell(one_class=("north", "east", "south", "west")),
        "failed": lambda: tell(ask(repeats=2), end="failed"),
        "interrupted": lambda: tell(ask(evaluation={"baselines": []}), end="interrupted"),
        "planned": lambda: tell(end="planned"),
    }
    return tales[name]()


@pytest.mark.parametrize(
    "name",
    ["multiclass", "regression", "six arms", "a hundred sites", "one site", "no intervals", "one class", "failed",
     "interrupted", "planned"],
)  # fmt: skip
def test_any_execution_gives_a_valid_page_that_loads_nothing(name: str, tell: Tell, ask: Ask) -> None:
    html = report(tale(name, tell, ask))
    page = outline(html)
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert {"methods", "left", "provenance", "limits"} <= set(page.ids)
    assert not re.search(r"\b(nan|None|inf)\b", words(html))


def test_every_section_is_there(trial: ExecutionView) -> None:
    page = outline(report(trial))
    assert [found for found in page.ids if found in SECTIONS] == SECTIONS
    assert {"failures", "figure-participation"} <= set(page.ids)


def test_nothing_outside_the_page_is_named(trial: ExecutionView) -> None:
    html = report(trial)
    assert not re.search(r"""(?:src|href|action)\s*=\s*["'](?!#)""", html)
    assert not re.search(r"url\((?!#)", html)
    assert "://" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe", "object", "img"} & outline(html).tags
    assert "default-src 'none'" in html


def test_the_same_execution_gives_the_same_page(trial: ExecutionView) -> None:
    assert report(trial) == report(trial)


def test_names_are_never_markup(tell: Tell) -> None:
    evil = "<script>alert('&')</script>"
    html = report(tell(sites={evil: 300, '"><img src=x>': 200}, failing={evil: (2,)}, one_class=(evil,)))
    assert "<script" not in html
    assert "<img" not in html
    assert evil in words(html)


def test_long_names_are_whole_in_tables_and_short_in_figures(tell: Tell) -> None:
    name = "Universitätsklinikum Hamburg-Eppendorf, Martinistraße 52, Haus Ost 10"
    html = report(tell(sites={name: 300, "b": 200}))
    assert name in words(html)
    assert all(len(text) < 60 for text in re.findall(r"<text[^>]*>([^<]*)</text>", html))


def test_the_numbers_of_the_table_are_those_of_the_runs(demo: ExecutionView) -> None:
    text = words(report(demo))
    run = demo.runs[0]
    final = run.final
    assert final is not None
    low, high = (final.pooled_intervals or {})["auc"]
    assert f"{run.metrics['auc']:.3f} ({low:.3f}–{high:.3f})" in text
    for site in run.sites.values():
        assert f"{site.metrics['accuracy']:.3f}" in text


def test_what_is_not_defined_is_said_with_its_reason(tell: Tell) -> None:
    text = words(report(tell(one_class=("south",))))
    assert "south 28 test rows, all benign" in text
    assert "not defined" in text


def test_failed_and_interrupted_runs_are_told_first(tell: Tell, ask: Ask) -> None:
    failed = words(report(tell(ask(repeats=2), end="failed")))
    assert "Two runs did not come to their end" in failed
    assert "federated, seed 1: failed after 6 of 12 rounds. round 7: the weights are not finite" in failed
    assert "medfl export 20250102-030405-abc-base-1" in failed
    interrupted = words(report(tell(ask(evaluation={"baselines": []}), end="interrupted")))
    assert "One run did not come to its end" in interrupted
    assert "no model was judged" not in failed


def test_sites_that_failed_are_named_with_round_and_reason(trial: ExecutionView) -> None:
    text = words(report(trial))
    assert "east the disk is full train, round 3 and 4" in text
    assert "round 3: north, south and west" in text


def test_provenance_has_digests_versions_seeds_and_the_spec(trial: ExecutionView) -> None:
    text = words(report(trial))
    for run in trial.runs:
        assert run.run in text
        assert str(run.model) in text
    assert trial.digest in text
    assert "medfl 3.0.0, numpy 2.3.1, python 3.11.7" in text
    assert '"target": "malignant"' in text
    assert all(site.schema in text for site in trial.runs[0].sites.values())


def test_a_hub_that_can_look_is_said_and_so_are_the_two_values(demo: ExecutionView) -> None:
    text = words(report(demo))
    assert "Secure aggregation was off, and no noise was added" in text
    assert "smallest and largest value of each numeric column" in text


def test_the_glossary_explains_what_the_table_shows(demo: ExecutionView) -> None:
    text = words(report(demo))
    assert "0.5 is guessing" in text
    assert "Share of people classified correctly" in text


def test_a_report_is_made_from_a_story_in_less_than_six_seconds() -> None:
    recorded = story.recorded(story.execution())
    runs = dict.fromkeys(item.event.run for item in recorded)
    views = [view_run([item for item in recorded if item.event.run == run]) for run in runs]
    start = time.perf_counter()
    assert "Who comes back within 30 days?" in report(view_execution(views))
    assert time.perf_counter() - start < 6.0


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_one_round_has_a_report_without_a_warning(kind: str, tell: Tell, ask: Ask) -> None:
    model = {"model": {"kind": "linear"}} if kind == "regression" else {}
    html = report(tell(ask(rounds=1, arms=("fedavg", "fedyogi"), **model), kind=kind, samples=5))
    assert "figure-" in html
