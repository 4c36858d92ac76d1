"""The front door of the library: a study and its tables in, stored and comparable results out.

What it needs is imported when it is called: the package imports this module at once, so that ``medfl.simulate`` is
always the function, and that must cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medfl.deploying import Chosen
    from medfl.site.sources import Tables
    from medfl.spec.study import Study
    from medfl.store.home import Home
    from medfl.store.views import ExecutionView


@dataclass(frozen=True)
class Results:
    """What an execution gave, read from the journal.

    Parameters
    ----------
    home
        Where it is stored.
    execution
        Its id.
    """

    home: Home
    execution: str

    @cached_property
    def view(self) -> ExecutionView:
        """Everything that is known of it."""
        from medfl.store.shelf import whole_execution

        return whole_execution(self.home, self.execution)

    @property
    def summary(self) -> dict[str, Any]:
        """The object that ``medfl run --json`` prints."""
        from medfl.store.summary import summary

        return summary(self.view)

    def report(self, path: str | Path, *, language: Literal["en", "fr"] = "en") -> Path:
        """Write the report as one HTML file, or as PDF where the name ends so, and return its path.

        Parameters
        ----------
        path
            The file.
        language
            English, or French as far as there are words; what stays in English is marked so.

        Raises
        ------
        MissingExtraError
            If it is to be PDF or in French, and what that needs is not installed.
        UserError
            If the file cannot be where it is asked for.
        """
        from medfl.hub.again import waiting
        from medfl.publish.export import save
        from medfl.publish.pdf import save_pdf
        from medfl.publish.report import report

        target, told, waits = Path(path), _teller(language), waiting(self.home, self.view.every)
        if target.suffix.lower() == ".pdf":
            save_pdf(target, self.view, told=told, waits=waits)
        else:
            save(target, told(report(self.view, waits=waits)))
        return target

    def __str__(self) -> str:
        from medfl.publish.terminal import plain, results

        return plain(results(self.view))

    def _repr_html_(self) -> str:
        from medfl.publish.terminal import as_html, results

        return as_html(results(self.view))


def simulate(  # noqa: PLR0913 - one for each thing that a study does not say
    study: Study | str | Path,
    tables: Tables | None = None,
    *,
    home: str | Path | None = None,
    engine: Chosen = "in-process",
    arm: str | None = None,
    policy: str | Path | None = None,
    left_out: Mapping[tuple[str, int], Mapping[str, int]] | None = None,
    progress: bool = True,
) -> Results:
    """Carry out a study on this machine: every arm, every repeat, every baseline.

    Parameters
    ----------
    study
        A study, or the path of its TOML file.
    tables
        A data frame for each site by name, or one data frame that ``[data.simulate]`` deals out; None where the study
        names files.
    home
        Folder of the journal and artefacts; ``$MEDFL_HOME`` or ``~/.medfl`` where None.
    engine
        ``"in-process"``, ``"processes"`` for one worker a core, ``"ray"`` for workers of a Ray started here
        (:class:`medfl.deploying.RayAt` for those of a cluster), or ``"flower"`` for a rehearsal of deployment: a
        SuperLink and a process a site; or the name of an engine that an installed package brings. The results are the
        same bit for bit.
    arm
        The one arm to run, without baselines.
    policy
        File of the policy of every site that has none of its own, as ``medfl policy init`` writes one.
    left_out
        Sites that are not asked any more from some round on, as when somebody left them out by hand of a study that is
        repeated: by arm (or baseline) and seed, the first round without each site; 0 for one that never takes part.
        ``{("fedavg", 7): {"north": 3}}``.
    progress
        Whether to show a progress bar, on a terminal or in a notebook.

    Raises
    ------
    MedflError
        What is wrong, where, and what to do. What was finished stays stored.
    """
    from medfl.execution import carry_on, lay_down
    from medfl.inspection import opened
    from medfl.left_out import leave_out, require_possible
    from medfl.publish.terminal import progress as shown
    from medfl.run.plan import compile
    from medfl.site.sources import Sources
    from medfl.spec.placing import placing
    from medfl.spec.reading import text_of
    from medfl.spec.study import Study
    from medfl.store.home import Home
    from medfl.store.shelf import whole_execution
    from medfl.store.written import keep_written

    place = Home(Path(home) if home is not None else None)
    asked, base = opened(study)
    sources = Sources(base, place.folder / "sites", tables, None if policy is None else Path(policy))
    with placing(study):
        if left_out:
            require_possible(compile(asked), left_out, lambda arm: tuple(sources.sites(arm)))
        execution = lay_down(asked, place, sources=sources, engine=engine, arm=arm)
        leave_out(place, execution, left_out or {})
        if not isinstance(study, Study):
            keep_written(place, execution, text_of(Path(study), "study"))
        with shown(whole_execution(place, execution)) if progress else nullcontext() as display:
            carry_on(place, execution, sources=sources, display=display)
    return Results(place, execution)


def _teller(language: str) -> Callable[[str], str]:
    """Return what tells a page in a language."""
    from medfl.errors import MissingExtraError

    if language == "en":
        return str
    try:
        from medfl.hub.pages.retold import retold
    except ImportError as missing:
        raise MissingExtraError(
            "the words of other languages come with the pages, which are not installed",
            received=str(missing),
            remedy="pip install 'medfl[app]'",
        ) from missing
    return partial(retold, language=language)
