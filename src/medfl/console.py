"""What the verbs of the command line do: call the library, and show what it gives.

Results go to standard output, progress and errors to standard error, so that a pipe gets only what it asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medfl.errors import MedflError, StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from medfl.simulate import EngineName
    from medfl.store.home import Home
    from medfl.store.views import ExecutionView

INTERRUPTED = 130


def guarded(command: click.Command, debug: bool) -> int:
    """Run a command and return the exit code: 0, 1 for our fault, 2 for the user's mistake, 130 for Ctrl-C."""
    try:
        command.main(standalone_mode=False, prog_name="medfl")
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        click.echo("Stopped. What was finished is stored: medfl runs lists it, medfl resume RUN goes on.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except MedflError as error:
        if debug:
            raise
        _tell(error)
        return error.exit_code
    return 0


def _tell(error: MedflError) -> None:
    count = len(error.complaints)
    head = "Error" if count == 1 else f"{count} things are wrong"
    click.echo(click.style(f"{head}:", fg="red", bold=True), err=True)
    for complaint in error.complaints:
        place = click.style(complaint.where + ": ", bold=True) if complaint.where else ""
        found = f" (found: {complaint.received})" if complaint.received else ""
        click.echo(f"  {place}{complaint.what}{found}", err=True)
        if complaint.remedy:
            click.echo(click.style(f"    → {complaint.remedy}", fg="cyan"), err=True)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _error_json(error: MedflError) -> dict[str, Any]:
    complaints = [
        {"what": c.what, "where": c.where, "received": c.received, "remedy": c.remedy} for c in error.complaints
    ]
    return {"error": {"code": error.code, "complaints": complaints}}


def check(study: Path, *, as_json: bool) -> None:
    """Explain a study, or say all that is wrong with it."""
    from medfl.simulate import inspect

    try:
        found = inspect(study)
    except MedflError as error:
        if as_json:
            _print_json({"ok": False} | _error_json(error))
        raise
    if as_json:
        sections = {section.title: list(section.sentences) for section in found.sections}
        _print_json({"ok": True, "study": found.study.study.name, "digest": found.study.digest, "explained": sections})
        return
    click.echo(click.style(found.study.study.name, bold=True) + f"  ({found.study.digest[:12]})")
    for section in found.sections:
        click.echo("\n" + click.style(section.title, bold=True))
        for sentence in section.sentences:
            click.echo(click.wrap_text(sentence, 98, initial_indent="  ", subsequent_indent="    "))
    click.echo("\n" + click.style("This study can run.", fg="green") + f"  medfl run {study}")


def run(
    study: Path, home: Path | None, *, engine: EngineName, arm: str | None, plugins: Iterable[Path], as_json: bool
) -> None:
    """Run a study and show its results."""
    from medfl.simulate import lay_down, opened
    from medfl.site.sources import Sources

    _load(plugins)
    try:
        asked, base = opened(study)
        place = _home(home)
        sources = Sources(base, place.folder / "sites")
        execution = lay_down(asked, place, sources=sources, engine=engine, arm=arm)
    except MedflError as error:
        if as_json:
            _print_json(_error_json(error))
        raise
    _carry_on(place, execution, as_json=as_json)


def resume(run: str, home: Path | None, *, plugins: Iterable[Path], as_json: bool) -> None:
    """Go on with an execution, named by one of its runs."""
    from medfl.store.shelf import whole_run

    _load(plugins)
    place = _home(home)
    _carry_on(place, whole_run(place, run).execution, as_json=as_json)


def _carry_on(home: Home, execution: str, *, as_json: bool) -> None:
    """Carry an execution out; show what it gave even where it stopped with an error."""
    from medfl.publish.terminal import progress
    from medfl.simulate import carry_on
    from medfl.store.shelf import whole_execution
    from medfl.store.summary import summary

    try:
        with progress(whole_execution(home, execution), _console(err=True)) as display:
            carry_on(home, execution, display=display)
    finally:
        view = whole_execution(home, execution)
        if as_json:
            _print_json(summary(view))
        else:
            _show_results(view)


def _show_results(view: ExecutionView) -> None:
    from medfl.publish.terminal import results

    _console().print(results(view))


def runs(home: Path | None, *, as_json: bool) -> None:
    """List the runs."""
    from medfl.publish.terminal import runs_table
    from medfl.store.shelf import outlines
    from medfl.store.summary import listing

    entries = listing(outlines(_home(home)))
    if as_json:
        _print_json(entries)
    elif entries:
        _console().print(runs_table(entries))
    else:
        click.echo("No runs yet. Start one with: medfl run STUDY.toml")


def show(run: str, home: Path | None, *, as_json: bool) -> None:
    """Show one run."""
    from medfl.publish.terminal import run_details
    from medfl.store.shelf import whole_execution, whole_run
    from medfl.store.summary import summary

    place = _home(home)
    view = whole_run(place, run)
    if as_json:
        whole = summary(whole_execution(place, view.execution))
        _print_json(next((entry for entry in whole["runs"] if entry["run"] == view.run), whole))
    else:
        _console().print(run_details(view))


def report(run_or_study: str, home: Path | None, output: Path | None) -> None:
    """Write the report of an execution."""
    from medfl.publish.report import report as told
    from medfl.store.shelf import execution_of, whole_execution

    place = _home(home)
    view = whole_execution(place, execution_of(place, run_or_study))
    target = output or Path(f"{view.study}.html")
    _written(target, told(view))
    click.echo(f"Report: {target}")


def export(run: str, home: Path | None, output: Path | None) -> None:
    """Write a run's model and all that is needed to use it."""
    from medfl.publish.export import export as exported
    from medfl.store.shelf import whole_run

    place = _home(home)
    view = whole_run(place, run)
    target = output or Path(f"model-{view.run}")
    exported(view, place.artefacts, target)
    click.echo(f"Model: {target}  (use it: medfl predict {target} TABLE.csv)")


def predict(model: Path, table: Path, output: Path | None, *, plugins: Iterable[Path]) -> None:
    """Predict the rows of a table."""
    from medfl.learn.data.tables import read_table
    from medfl.learn.exported import load

    _load(plugins)
    exported = load(model)
    predicted, notes = exported.predict(read_table(table, columns=None, missing=exported.data.missing))
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    text = predicted.to_csv(index=False, lineterminator="\n")
    if output is None:
        click.echo(text, nl=False)
    else:
        _written(output, text)
        click.echo(f"Predictions: {output}", err=True)


def _home(folder: Path | None) -> Home:
    from medfl.store.home import Home

    return Home(folder)


def _console(*, err: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=err, highlight=False)
    if not console.is_terminal:
        console.width = 100
    return console


def _written(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            "the file cannot be written",
            where=str(target),
            received=error.strerror or type(error).__name__,
            remedy="choose another place with -o",
        ) from error


def _load(plugins: Iterable[Path]) -> None:
    """Execute the user's own files, which register models by name."""
    import runpy

    for plugin in plugins:
        runpy.run_path(str(plugin))
