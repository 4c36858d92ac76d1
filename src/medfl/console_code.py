"""What the verb for code shows: one study as a script, a notebook or a file, from whichever of them it comes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from medfl.console import say
from medfl.errors import UserError, listed

if TYPE_CHECKING:
    from medfl.publish.code import Models
    from medfl.spec.study import Study
    from medfl.store.leaving import LeftOut

FORMS = (".py", ".ipynb", ".toml")


def code(what: str, home: Path | None, output: Path | None) -> None:
    """Write a study in another form; on standard output as a script where no file is named."""
    from medfl.publish.export import save

    form = ".py" if output is None else output.suffix.lower()
    if form not in FORMS:
        raise UserError(
            "the file's ending does not say what it is to be",
            where="-o",
            received=str(output),
            remedy=f"let it end in one of {', '.join(FORMS)}",
        )
    study, models, left_out = _read(what, home)
    text = _written(study, form, models, left_out)
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists():
        raise UserError("the file exists already", where=str(output), remedy="choose another with -o, or remove it")
    save(output, text)
    click.echo(f"Study: {output}  ({study.study.name}, {study.digest[:12]})")


def _read(what: str, home: Path | None) -> tuple[Study, Models, LeftOut]:
    """Return a study of a file, or one of the store with the models that it gave and the sites that were left out."""
    from medfl.spec.reading import parse, text_of

    path = Path(what)
    if path.suffix.lower() not in FORMS and not path.is_file():
        return _stored(what, home)
    text = text_of(path)
    if path.suffix.lower() == ".toml":
        return parse(text, source=path.name), {}, {}
    from medfl.publish.decoding import decoded

    found = decoded(text)
    for one in found.beside:
        say(f"Not taken over, {one.where}: {one.what}", dim=True)
    return parse(found.text, source=path.name), {}, {}


def _stored(what: str, home: Path | None) -> tuple[Study, Models, LeftOut]:
    from medfl.publish.code import models_of
    from medfl.spec.study import Study
    from medfl.store.home import Home
    from medfl.store.leaving import left_out_of
    from medfl.store.shelf import execution_of, whole_execution

    with Home(home) as place:
        view = whole_execution(place, execution_of(place, what))
    return Study.model_validate(view.spec), models_of(view), left_out_of(view)


def _written(study: Study, form: str, models: Models, left_out: LeftOut) -> str:
    from medfl.publish.code import notebook, script
    from medfl.spec.writing import as_toml

    match form:
        case ".py":
            return script(study, models=models, left_out=left_out)
        case ".ipynb":
            return notebook(study, models=models, left_out=left_out)
    if sites := sorted({site for rounds in left_out.values() for site in rounds}):
        say(f"A file of a study does not say that {listed(sites)} was left out by hand; a script does.", dim=True)
    return as_toml(study)
