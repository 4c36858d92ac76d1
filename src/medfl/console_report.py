"""What ``medfl report`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from medfl.errors import UserError


def report(
    run_or_study: str, home: Path | None, output: Path | None, *, pdf: bool, language: Literal["en", "fr"]
) -> None:
    """Write the report of an execution in a language, as a page or as a document."""
    from medfl.simulate import Results
    from medfl.store.home import Home
    from medfl.store.shelf import execution_of

    place = Home(home)
    results = Results(place, execution_of(place, run_or_study))
    target = output or Path(f"{results.view.study}.{'pdf' if pdf else 'html'}")
    if pdf and target.suffix.lower() != ".pdf":
        raise UserError(
            "a document's name ends in .pdf",
            where="--output",
            received=str(target),
            remedy=f"write -o {target.with_suffix('.pdf')}, or leave --pdf out for a page",
        )
    click.echo(f"Report: {results.report(target, language=language)}")
