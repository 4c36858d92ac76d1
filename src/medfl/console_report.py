"""What ``medfl report`` does."""

from __future__ import annotations

from pathlib import Path

import click


def report(run_or_study: str, home: Path | None, output: Path | None, *, pdf: bool) -> None:
    """Write the report of an execution, as a page or as a document."""
    from medfl.publish.pdf import save_pdf
    from medfl.simulate import Results
    from medfl.store.home import Home
    from medfl.store.shelf import execution_of

    place = Home(home)
    results = Results(place, execution_of(place, run_or_study))
    target = output or Path(f"{results.view.study}.{'pdf' if pdf else 'html'}")
    if pdf or target.suffix.lower() == ".pdf":
        save_pdf(target, results.view)
    else:
        results.report(target)
    click.echo(f"Report: {target}")
