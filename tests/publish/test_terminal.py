from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from medfl.events import Event, RunFailed, RunInterrupted, RunResumed
from medfl.publish.following import Following, LiveDisplay, PlainDisplay
from medfl.publish.terminal import as_html, plain, progress, results, run_details, runs_table
from medfl.spec.study import Study
from medfl.store.folding import view_execution, view_run
from medfl.store.summary import listing
from medfl.store.views import ExecutionView
from medfl.testing import story

Tell = Callable[..., ExecutionView]
Ask = Callable[..., Study]
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def told() -> ExecutionView:
    recorded = story.recorded(story.execution())
    runs = dict.fromkeys(item.event.run for item in recorded)
    return view_execution([view_run([item for item in recorded if item.event.run == run]) for run in runs])


def planned() -> tuple[ExecutionView, list[Event]]:
    """Return an execution before its first run, and what will happen."""
    events = story.execution()
    plans = list(story.plans(story.study(), name="20250102-030405-abc"))
    views = [view_run(story.recorded([plan], start=place)) for place, plan in enumerate(plans, 1)]
    return view_execution(views), events[len(plans) :]


def console(*, terminal: bool = False, width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None, legacy_windows=False)


def written(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def golden(name: str) -> str:
    return (GOLDEN / name).read_text(encoding="utf-8")


def test_the_results_of_the_story(told: ExecutionView) -> None:
    assert plain(results(told)) + "\n" == golden("results-story.txt")


def test_the_runs_of_the_story(told: ExecutionView) -> None:
    assert plain(runs_table(listing(told.runs))) + "\n" == golden("runs-story.txt")


def test_one_run_of_the_story(told: ExecutionView) -> None:
    assert plain(run_details(told.runs[0])) + "\n" == golden("run-story.txt")


def test_the_progress_of_the_story_in_a_pipe() -> None:
    execution, events = planned()
    target = console()
    with progress(execution, target) as display:
        for event in events:
            display.on(event)
    assert written(target) == golden("progress-story.txt")


def test_a_pipe_gets_no_control_characters_and_few_lines_a_run(tell: Tell, ask: Ask) -> None:
    execution, events = planned()
    target = console()
    with PlainDisplay(execution, target) as display:
        for event in events:
            display.on(event)
    assert all(character.isprintable() or character == "\n" for character in written(target))


@pytest.mark.parametrize("name", ["results", "runs", "run", "progress"])
def test_nothing_is_wider_than_a_hundred_columns(name: str) -> None:
    assert max(map(len, golden(f"{name}-story.txt").splitlines())) <= 100


def test_a_terminal_gets_a_bar_and_the_run_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    execution, events = planned()
    target = console(terminal=True)
    with progress(execution, target) as display:
        assert isinstance(display, LiveDisplay)
        for event in events[:12]:
            display.on(event)
        shown = plain(display.shown())
    assert "readmission" in shown
    assert "0 of 8 runs" in shown
    assert "fedavg, seed 7, round 1 of 5: loss 0.700" in shown


def test_progress_adds_up_to_the_whole() -> None:
    execution, events = planned()
    following = Following(execution)
    assert (sum(following.done.values()), following.total) == (0, 40)
    for event in events:
        following.take(event)
    assert sum(following.done.values()) == following.total
    assert following.finished == len(following.runs) == 8


def test_what_was_done_before_counts(told: ExecutionView) -> None:
    following = Following(told)
    assert (sum(following.done.values()), following.finished) == (following.total, 8)


def test_a_resumed_run_goes_on_where_it_was() -> None:
    execution, _ = planned()
    run = execution.runs[0].run
    following = Following(execution)
    following.take(RunResumed(run=run, after_round=3, versions={}, platform=""))
    assert following.done[run] == 3
    assert following.round == 3


def test_stops_are_told_in_a_pipe() -> None:
    execution, events = planned()
    run = execution.runs[0].run
    target = console()
    with PlainDisplay(execution, target) as display:
        display.on(events[0])
        display.on(RunInterrupted(run=run))
        display.on(RunResumed(run=run, after_round=2, versions={}, platform=""))
        display.on(RunFailed(run=run, code="diverged", message="the weights are not finite"))
    assert written(target).splitlines() == [
        f"fedavg, seed 7: started as {run}",
        "fedavg, seed 7: interrupted",
        f"fedavg, seed 7: goes on after round 2 as {run}",
        "fedavg, seed 7: failed: the weights are not finite",
    ]


def test_a_run_that_fails_before_it_started_is_named() -> None:
    execution, _ = planned()
    target = console()
    with PlainDisplay(execution, target) as display:
        display.on(RunFailed(run=execution.runs[0].run, code="data", message="no such column"))
    assert written(target) == "fedavg, seed 7: failed: no such column\n"


def test_failures_are_told_once_with_run_site_and_round(tell: Tell, ask: Ask) -> None:
    execution = tell(ask(arms=("fedavg", "fedyogi")), failing={"east": (3,)})
    details = plain(run_details(execution.runs[0]))
    assert details.count("east failed in round 3: the disk is full") == 1


def test_unfinished_runs_come_first_with_what_to_type(tell: Tell, ask: Ask) -> None:
    text = plain(results(tell(ask(repeats=2), end="failed")))
    assert text.startswith(
        "federated, seed 1: failed\n  round 7: the weights are not finite\n"
        "  take its last good model with: medfl export"
    )
    assert plain(results(tell(end="planned"))) == "Nothing was judged yet."


def test_many_sites_are_left_to_the_report(tell: Tell, ask: Ask) -> None:
    text = plain(results(tell(ask(rounds=2), sites={f"site-{n}": 60 for n in range(30)}, samples=5)))
    assert "30 sites: the report shows each of them." in text
    assert "site-29  " not in text


def test_square_brackets_in_a_name_are_not_taken_as_style(tell: Tell) -> None:
    execution = tell(sites={"[red]north[/red]": 200, "[/]": 100}, one_class=("[/]",))
    for text in (plain(results(execution)), plain(run_details(execution.runs[0]))):
        assert "[red]north[/red]" in text
        assert "[/]" in text


def test_no_colour_where_none_is_wanted(told: ExecutionView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    target = Console(file=io.StringIO(), force_terminal=True, width=100)
    target.print(results(told))
    assert "\x1b[3" not in written(target)


def test_a_notebook_gets_escaped_html(tell: Tell) -> None:
    html = as_html(results(tell(sites={"<b>north": 200, "south": 100})))
    assert html.startswith("<pre")
    assert "&lt;b&gt;north" in html
    assert "<b>" not in html
