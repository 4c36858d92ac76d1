"""What ``medfl bundle``, ``medfl verify`` and ``medfl reproduce`` do and show."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medfl.console import console_of, failing_in_json, print_json, say
from medfl.errors import BundleError

if TYPE_CHECKING:
    from medfl.bundles.checking import Check
    from medfl.reproducing import Again, Reproduced

_MARKS = {"sound": ("sound ", "green"), "wrong": ("wrong ", "red"), "not looked at": ("open  ", "yellow")}


def bundle(run_or_execution: str, home: Path | None, out: Path | None, *, as_json: bool) -> None:
    """Write one signed file of a study."""
    from medfl.bundles.writing import write
    from medfl.store.home import Home
    from medfl.store.shelf import execution_of, whole_execution

    with failing_in_json(as_json), Home(home) as place:
        execution = execution_of(place, run_or_execution)
        view = whole_execution(place, execution)
        made = write(place, execution, out or Path(f"{view.study}-{execution}.zip"))
    if as_json:
        print_json(
            {"bundle": str(made.path), "execution": made.execution, "digest": made.digest, "files": made.files,
             "signer": made.signer, "authority": made.authority}
        )  # fmt: skip
        return
    click.echo(f"Bundle: {made.path}  ({made.files} files)")
    click.echo(f"Signed by: {made.signer}")
    if made.authority:
        click.echo(f"The hub's authority vouches for it: {made.authority}")
    asked = f"medfl verify {shlex.quote(str(made.path))} --signer {made.authority or made.signer}"
    say(f"Give the fingerprint to readers by another way than the bundle; they type: {asked}", dim=True)


def verify(path: Path, *, signer: str | None, as_json: bool) -> None:
    """Look whether a bundle is what it says it is."""
    from medfl.bundles.checking import verify as verified
    from medfl.bundles.signing import trusted

    with failing_in_json(as_json):
        found = verified(path, signer=None if signer is None else trusted(signer))
    if as_json:
        print_json(found.to_json())
    else:
        for check in found.checks:
            _show(check)
        if found.sound:
            click.echo(click.style("The bundle is what it says it is.", fg="green"))
    wrong = [check.name for check in found.checks if check.verdict == "wrong"]
    if wrong:
        raise BundleError(
            "the bundle is not what it says it is",
            where=str(path),
            received=f"wrong: {', '.join(wrong)}",
            remedy="trust nothing in it; ask whoever made it for another copy",
        )


def _show(check: Check) -> None:
    word, colour = _MARKS[check.verdict]
    lines = click.wrap_text(check.text, 80, preserve_paragraphs=False).splitlines() or [""]
    click.echo(f"{click.style(word, fg=colour, bold=True)} {check.name:<14} {lines[0]}")
    for line in lines[1:]:
        click.echo(" " * 22 + line)


def reproduce(path: Path, home: Path | None, *, data: Path | None, plugins: tuple[Path, ...], as_json: bool) -> None:
    """Run a bundled study again, and say whether it gives the same."""
    from medfl.publish.terminal import progress
    from medfl.reproducing import reproduce as reproduced
    from medfl.site.log import logged
    from medfl.site.plugins import load

    with failing_in_json(as_json), logged(None):
        load(plugins)
        found = reproduced(path, home=home, data=data, progress=partial(progress, console=console_of(err=True)))
    if as_json:
        print_json(found.to_json())
    else:
        _tell(found)
    if not found.same:
        other = ", ".join(name for name, _, _ in found.versions)
        raise BundleError(
            "the study gives something else here",
            where=str(path),
            received=", ".join(run.run for run in found.runs if not run.same),
            remedy=f"install the versions of then ({other}): see versions.json in the bundle"
            if other
            else "the same versions give the same on the same kind of processor: compare the platform in "
            "versions.json, and the tables",
        )


def _tell(found: Reproduced) -> None:
    for run in found.runs:
        click.echo(_line(run))
    for name, then, now in found.versions:
        click.echo(f"Version: {name} was {then}, and is {now} here.")
    if found.same:
        count = sum(run.finished for run in found.runs)
        text = f"The study gives the same again: {count} {'run' if count == 1 else 'runs'}, to the last bit."
        click.echo(click.style(text, fg="green"))


def _line(run: Again) -> str:
    who = f"{run.name}, seed {run.seed}"
    if not run.finished:
        return f"{click.style('open ', fg='yellow', bold=True)} {who}: it had not finished"
    digest = f"model {run.then[:12]}" if run.then else "no one model"
    if run.same:
        return f"{click.style('same ', fg='green', bold=True)} {who}: {digest}, every metric"
    model = (
        "the same model"
        if run.then == run.now
        else f"model {run.now[:12] or 'none'} in place of {run.then[:12] or 'none'}"
    )
    metrics = f"; other metrics: {', '.join(run.metrics[:4])}" if run.metrics else ""
    return f"{click.style('other', fg='red', bold=True)} {who}: {model}{metrics}"
