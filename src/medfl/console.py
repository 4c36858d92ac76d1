"""What the verbs of the command line do: call the library, and show what it gives.

Results go to standard output, progress and errors to standard error, so that a pipe gets only what it asked for.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from medfl.errors import BusyError, DivergedError, MedflError, SiteError, StoppedError, UserError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from medfl.deploying import Chosen
    from medfl.inspection import Spending
    from medfl.store.home import Home
    from medfl.store.views import ExecutionView

INTERRUPTED = 130


def guarded(command: click.Command, debug: bool) -> int:
    """Run a command and return the exit code: 0, 1 for our fault, 2 for the user's mistake, 130 for Ctrl-C."""
    try:
        command.main(standalone_mode=False, prog_name="medfl", color=_colour())
    except click.ClickException as error:
        if "--json" in sys.argv:
            print_json(_error_json(UserError(error.format_message(), remedy="see what there is: medfl --help")))
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit:
        # What click makes of a pipe whose reader went away: it has seen what it wanted.
        _leave(sys.stdout)
    except MedflError as error:
        if debug:
            raise
        _tell(error)
        return error.exit_code
    return 0


def _tell(error: MedflError) -> None:
    count = len(error.complaints)
    say("Error:" if count == 1 else f"{count} things are wrong:", fg="red", bold=True)
    for complaint in error.complaints:
        place = click.style(complaint.where + ": ", bold=True) if complaint.where else ""
        found = f" (found: {complaint.received})" if complaint.received else ""
        say(f"  {place}{complaint.what}{found}")
        if complaint.remedy:
            say(f"    → {complaint.remedy}", fg="cyan")
    for note in getattr(error, "__notes__", ()):
        say(note, dim=True)


def say(text: str, **style: Any) -> None:
    """Write a line for people: on standard error, and in colour only where that is wanted."""
    click.echo(click.style(text, **style) if style else text, err=True, color=_colour())


def _colour() -> bool | None:
    """Return False where the user wants none; else it depends on the terminal."""
    return False if os.environ.get("NO_COLOR") else None


def _leave(pipe: IO[str]) -> None:
    """Let nothing be written any more to a pipe that nobody reads, not even when Python ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.fileno())


def print_json(value: object, *, line: bool = False) -> None:
    """Write a value for programs; on one line where others follow."""
    click.echo(json.dumps(value, indent=None if line else 2, ensure_ascii=False))


def _error_json(error: MedflError) -> dict[str, Any]:
    complaints = [
        {"what": c.what, "where": c.where, "received": c.received, "remedy": c.remedy} for c in error.complaints
    ]
    return {"error": {"code": error.code, "complaints": complaints}}


@contextmanager
def failing_in_json(as_json: bool) -> Iterator[None]:
    """Print an error as JSON, where that is asked for, before it goes on to be told."""
    try:
        yield
    except MedflError as error:
        if as_json:
            print_json(_error_json(error))
        raise


def check(
    study: Path, home: Path | None, *, plugins: tuple[Path, ...], public: Path | None = None, as_json: bool
) -> None:
    """Explain a study, or say all that is wrong with it."""
    from medfl.inspection import inspect
    from medfl.rehearsal import rehearse_on
    from medfl.site.log import logged
    from medfl.site.plugins import load

    try:
        load(plugins)
        with logged(None):
            found = inspect(study, home=home)
            trials = [] if public is None else rehearse_on(found.study, public)
    except MedflError as error:
        if as_json:
            print_json({"ok": False} | _error_json(error))
        raise
    if as_json:
        sections = {section.title: list(section.sentences) for section in found.sections}
        told = {"ok": True, "study": found.study.study.name, "digest": found.study.digest, "explained": sections}
        print_json(told | ({} if public is None else {"rehearsal": [asdict(trial) for trial in trials]}))
        return
    click.echo(click.style(found.study.study.name, bold=True) + f"  ({found.study.digest[:12]})")
    # What was measured stands before what can be reckoned.
    tried = [str(trial) if len(trials) == 1 else f"Arm {trial.arm!r}: {trial}" for trial in trials]
    measured = [("What privacy costs", tried)] if tried else []
    for title, sentences in (*measured, *((section.title, section.sentences) for section in found.sections)):
        click.echo("\n" + click.style(title, bold=True))
        for sentence in sentences:
            click.echo(click.wrap_text(sentence, 98, initial_indent="  ", subsequent_indent="    "))
    click.echo("\n" + click.style("This study can run.", fg="green") + f"  medfl run {study}{home_option(home)}")


def run(
    study: Path,
    home: Path | None,
    *,
    engine: Chosen,
    arm: str | None,
    policy: Path | None,
    plugins: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Run a study and show its results."""
    from medfl.execution import lay_down
    from medfl.inspection import opened
    from medfl.site.plugins import load
    from medfl.site.sources import Sources
    from medfl.spec.placing import placing
    from medfl.spec.reading import text_of
    from medfl.store.written import keep_written

    with failing_in_json(as_json):
        load(plugins)
        asked, base = opened(study)
        place = _home(home)
        with placing(study):
            sources = Sources(base, place.folder / "sites", policy=policy)
            execution = lay_down(asked, place, sources=sources, engine=engine, arm=arm)
            keep_written(place, execution, text_of(study, "study"))
    weighed = ("the contributions of sites",) if asked.evaluation.contributions else ()
    if arm is not None and (asked.evaluation.baselines or weighed):
        left_out = " and ".join((*asked.evaluation.baselines, *weighed))
        say(f"Arm {arm} only: {left_out} are run with the whole study, without --arm.", dim=True)
    _carry_on(execution, home, plugins=plugins, as_json=as_json, study=study)


def engine(name: str, address: str | None, *, as_json: bool) -> Chosen:
    """Return the engine that was asked for, or say that it has no address."""
    from medfl.deploying import chosen_here

    with failing_in_json(as_json):
        return chosen_here(name, address)


def resume(
    run: str, home: Path | None, *, address: str | None, plugins: tuple[Path, ...], as_json: bool, unless_stopped: bool
) -> None:
    """Go on with an execution, named by one of its runs; not with one that is to stop, if that is to be obeyed."""
    from medfl.deploying import chosen
    from medfl.site.plugins import load
    from medfl.store.shelf import whole_run

    with failing_in_json(as_json):
        load(plugins)
        place = _home(home)
        known = whole_run(place, run)
        if address is not None:
            chosen(known.engine, address)
        if not unless_stopped:
            place.let_go_on(known.execution)
    _carry_on(known.execution, home, plugins=plugins, as_json=as_json, address=address)


def _carry_on(
    execution: str,
    home: Path | None,
    *,
    plugins: tuple[Path, ...],
    as_json: bool,
    study: Path | None = None,
    address: str | None = None,
) -> None:
    """Carry an execution out; show what it gave even where it stopped before its end."""
    from medfl.execution import carry_on
    from medfl.publish.terminal import progress
    from medfl.site.log import logged
    from medfl.spec.placing import placing
    from medfl.store.shelf import whole_execution

    place, option = _home(home), home_option(home)
    with failing_in_json(as_json):
        display = progress(whole_execution(place, execution), console_of(err=True))
    try:
        with placing(study), logged(place.folder / "sites") as log, display as shown:
            carry_on(place, execution, display=shown, plugins=plugins, address=address)
    except MedflError as error:
        with failing_in_json(as_json):
            view = whole_execution(place, execution)
        _show_results(view, as_json=as_json, error=error)
        if error.code == SiteError.code:
            error.add_note(f"The trace is in {log}; it may quote a row.")
        if advice := _advice(view, error, option):
            error.add_note(advice)
        raise
    except KeyboardInterrupt:
        view = whole_execution(place, execution)
        _show_results(view, as_json=as_json, error=None)
        say(f"Stopped. Every finished round is stored; go on with: medfl resume {_unfinished(view)}{option}")
        raise click.Abort from None
    view = whole_execution(place, execution)
    _show_results(view, as_json=as_json, error=None)
    say(f"Stored in {place.folder}. To read it as a page: medfl report {shlex.quote(view.study)}{option}", dim=True)


def _show_results(view: ExecutionView, *, as_json: bool, error: MedflError | None) -> None:
    from medfl.publish.terminal import results
    from medfl.store.summary import summary

    if as_json:
        print_json(summary(view) | (_error_json(error) if error is not None else {}))
    elif any(run.final is not None for run in view.every):
        _show(results(view))


def _advice(view: ExecutionView, error: MedflError, option: str) -> str:
    """Say what can be done with what is stored."""
    run = _unfinished(view)
    match error:
        case BusyError() | StoppedError():
            return ""
        case DivergedError():
            kept = [one.run for one in view.runs if one.status == "failed" and one.model]
            return f"To take the last good model: medfl export {kept[0]}{option}" if kept else ""
        case UserError():
            planned = sum(one.status == "planned" for one in view.every)
            waiting = f" {planned} more that read the same tables were not tried." if planned else ""
            return f"Mended a table? Go on with: medfl resume {run}{option}. Changed the study? Run it anew.{waiting}"
    return f"What was finished is stored; go on with: medfl resume {run}{option}"


def _unfinished(view: ExecutionView) -> str:
    """Return the run to name where an execution is to go on: any of its runs stands for all."""
    runs = view.every
    return next((run.run for run in runs if run.status != "finished"), runs[0].run)


def home_option(home: Path | None) -> str:
    """Return what a command must say to find this home again."""
    return f" --home {shlex.quote(str(home))}" if home is not None else ""


def runs(home: Path | None, *, baselines: bool, as_json: bool) -> None:
    """List the runs."""
    from medfl.hub.again import with_waiting
    from medfl.publish.terminal import runs_table
    from medfl.store.shelf import outlines
    from medfl.store.summary import listing

    with failing_in_json(as_json):
        place = _home(home)
        views = outlines(place)
        entries = with_waiting(place, listing(views, baselines=baselines), views)
    if as_json:
        print_json(entries)
    elif entries:
        _show(runs_table(entries))
    else:
        click.echo(f"No runs yet in {place.folder}. Start one with: medfl run STUDY.toml{home_option(home)}")


def budget(home: Path | None, delta: float, *, as_json: bool) -> None:
    """Show what each simulated site's ledger says."""
    from medfl.inspection import spendings

    with failing_in_json(as_json):
        found = spendings(_home(home).folder, delta=delta)
    show_spendings(found, as_json=as_json)


def show_spendings(found: Sequence[Spending], *, as_json: bool) -> None:
    """Show what was spent on data sets."""
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        click.echo("No run under differential privacy has spent anything yet.")
    for one in found:
        runs = "1 run" if one.runs == 1 else f"{one.runs} runs"
        click.echo(f"{one.dataset}: ε = {one.epsilon:.3g} at δ = {one.delta:g}, over {runs}")


def show(run: str, home: Path | None, *, as_json: bool) -> None:
    """Show one run."""
    from medfl.hub.again import taken_up_again
    from medfl.publish.terminal import run_details
    from medfl.store.shelf import whole_execution, whole_run
    from medfl.store.summary import summary

    with failing_in_json(as_json):
        place = _home(home)
        view = whole_run(place, run)
        execution = whole_execution(place, view.execution)
        whole, again = summary(execution), taken_up_again(place, execution.every)
        if again is not None:
            whole["runs"] = [again.marked(entry) for entry in whole["runs"]]
    if as_json:
        print_json(next((entry for entry in whole["runs"] if entry["run"] == view.run), whole))
    else:
        _show(run_details(view, waits=again.told if again is not None and again.run == view.run else ""))


def export(run: str, home: Path | None, output: Path | None) -> None:
    """Write a run's model and all that is needed to use it."""
    from medfl.publish.export import export as exported
    from medfl.store.shelf import whole_run

    place = _home(home)
    view = whole_run(place, run)
    target = output or Path(f"model-{view.run}")
    exported(view, place.artefacts, target)
    click.echo(f"Model: {target}  (use it: medfl predict {shlex.quote(str(target))} TABLE.csv)")


def predict(model: Path, table: Path, output: Path | None, *, plugins: tuple[Path, ...]) -> None:
    """Predict the rows of a table."""
    from medfl.learn.exported import load as load_model
    from medfl.publish.export import save
    from medfl.site.plugins import load

    load(plugins)
    exported = load_model(model)
    predicted, notes = exported.predict(exported.read(table))
    for note in notes:
        say(f"Note: {note}")
    text = predicted.to_csv(index=False, lineterminator="\n")
    if output is None:
        click.echo(text, nl=False)
    else:
        save(output, text)
        say(f"Predictions: {output}")


def _home(folder: Path | None) -> Home:
    from medfl.store.home import Home

    return Home(folder)


def _show(renderable: RenderableType) -> None:
    """Write a result for people on standard output; into a pipe as plain text."""
    from medfl.publish.terminal import plain

    console = console_of()
    if console.is_terminal:
        console.print(renderable)
    else:
        click.echo(plain(renderable))


def console_of(*, err: bool = False) -> Console:
    """Return what writes for people, on standard output or on standard error."""
    from rich.console import Console

    class Patient(Console):
        """A console that falls silent when nobody reads it any more: the work goes on."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            _leave(self.file)

    return Patient(stderr=err, highlight=False)
