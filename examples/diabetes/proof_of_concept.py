"""Makes every table and figure of docs/explanation/proof-of-concept.md, from runs to page, with one command.

    python examples/diabetes/proof_of_concept.py DIABETES.csv

Runs what the studies in `studies/` ask for and is not in the journal yet, so that it can be interrupted and started
again; then reads the journals and writes the page. With `--quick` on few people, few repeats and few rounds, to try
it out: the page then goes where `--page` says, since its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

from medfl import Study
from medfl.errors import NotFoundError
from medfl.execution import carry_on, lay_down
from medfl.publish.export import export
from medfl.publish.terminal import progress
from medfl.site.sources import Sources
from medfl.store.home import Home
from medfl.store.shelf import execution_of, whole_execution
from medfl.store.views import ExecutionView

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/explanation/proof-of-concept.md"
STARTS = {"pretrain-under-40": "pretrained-under-40", "pretrain-half": "pretrained-half"}
"""Studies whose centralised model others start from, and the folder it is exported to."""
STUDIES = (
    *STARTS,
    *(f"{split}-{sites}" for split in ("iid", "age", "dirichlet") for sites in (10, 5)),
    "scarce-age",
    "scarce-half",
    "plenty-age",
    "architectures",
    "published",
)
QUICK = {"repeats": 2, "rounds": 2, "local_epochs": 1}


def carried_out(name: str, home: Home, *, folder: Path, quick: bool) -> ExecutionView:
    """Return a study's execution, carried out as far as it was not yet."""
    study = asked(name, quick=quick)
    try:
        execution = execution_of(home, study.digest)
    except NotFoundError:
        execution = lay_down(study, home, sources=Sources(folder, home.folder / "sites"), engine="in-process", arm=None)
    view = whole_execution(home, execution)
    if any(run.status != "finished" for run in (*view.runs, *view.baselines)):
        with progress(view) as display:
            carry_on(home, execution, display=display)
        view = whole_execution(home, execution)
    return view


def asked(name: str, *, quick: bool) -> Study:
    """Read a study; a quick one asks the same with fewer repeats, rounds and epochs."""
    spec: dict[str, Any] = tomllib.loads((HERE / "studies" / f"{name}.toml").read_text(encoding="utf-8"))
    if quick:
        spec["study"]["repeats"] = min(QUICK["repeats"], spec["study"].get("repeats", 1))
        spec["algorithm"]["rounds"] = QUICK["rounds"]
        spec["training"]["local_epochs"] = QUICK["local_epochs"]
        spec.setdefault("evaluation", {})["bootstrap"] = 20
        for arm in spec.get("arm", ()):
            if "probe_rounds" in arm.get("model", {}).get("start", {}):
                arm["model"]["start"]["probe_rounds"] = 1
    return Study.model_validate(spec)


def main() -> None:
    """Prepare, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("table", type=Path, help="the diabetes prediction data set as CSV, 100 000 rows")
    parser.add_argument("--home", type=Path, default=Path("build/proof-of-concept"), help="journal and artefacts")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to fill; its figures go into figures/ beside it")
    parser.add_argument("--quick", action="store_true", help="few people, repeats and rounds, to try it out")
    arguments = parser.parse_args()
    if arguments.quick and arguments.page.resolve() == PAGE:
        parser.error("--quick must not overwrite the published page: name another one with --page")
    told(arguments.table, Home(arguments.home), page=arguments.page, quick=arguments.quick)


def told(table: Path, home: Home, *, page: Path, quick: bool) -> None:
    """Carry out every study and write what they gave into the page."""
    sys.path.insert(0, str(HERE))
    import models  # noqa: F401 - registers the two torch modules
    from page import filled
    from prepare import prepare

    work = home.folder / "work" / "studies"
    prepare(table, work.parent / "data", rows=4_000 if quick else None)
    work.mkdir(parents=True, exist_ok=True)
    views: dict[str, ExecutionView] = {}
    for name in STUDIES:
        views[name] = carried_out(name, home, folder=work, quick=quick)
        if name in STARTS:
            (trained,) = views[name].baseline("centralised")
            if not (exported := work.parent / "data" / STARTS[name]).exists():
                export(trained, home.artefacts, exported)
    filled(page, views)
    print(f"{page} is written.")


if __name__ == "__main__":
    main()
