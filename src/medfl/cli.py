"""The command line: one verb a line. What a verb does lives in the library; here is only what is typed and shown."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

import click

from medfl.cli_app import app
from medfl.cli_bundle import BUNDLES
from medfl.cli_enrol import ENROLMENT
from medfl.cli_flower import flower
from medfl.cli_hub import JSON, hub, submit
from medfl.cli_people import account  # noqa: F401 - adds its verbs to the group of the hub
from medfl.cli_services import service_of_hub, service_of_site
from medfl.cli_site import VERBS
from medfl.cli_vpn import vpn

HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the journal and the artefacts [default: $MEDFL_HOME or ~/.medfl].",
)
PLUGIN = click.option(
    "--plugin",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Python file of your own to load first, e.g. one that registers a torch model.",
)
STUDY = click.argument("study", type=click.Path(path_type=Path))
RUN = click.argument("run")
ADDRESS = click.option(
    "--address",
    metavar="HOST:PORT",
    help="With Ray: the running cluster to use [default: Ray is started on this machine, and ended].",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="medfl", prog_name="medfl")
def main() -> None:
    """Federated learning over hospitals: data stay where they are, models travel."""


def entry() -> None:
    """Run the command line; errors become sentences and exit codes."""
    try:
        from medfl.console import INTERRUPTED, guarded

        code = guarded(main, os.environ.get("MEDFL_DEBUG") == "1")
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


@main.command()
@STUDY
@HOME
@PLUGIN
@click.option(
    "--public",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="TABLE",
    help="Try out on a table without secrets what differential privacy costs.",
)
@JSON
def check(study: Path, home: Path | None, plugin: tuple[Path, ...], public: Path | None, as_json: bool) -> None:
    """Say in plain words what a study will do, or all that is wrong with it."""
    from medfl import console

    console.check(study, home, plugins=plugin, public=public, as_json=as_json)


@main.command()
@STUDY
@HOME
@click.option("--engine", default="in-process", show_default=True,
              metavar="[in-process|processes|ray|flower|NAME]",
              help="All sites in this process, one worker process a core, Ray's workers, a rehearsal of deployment, or "
              "an engine of an installed package.")  # fmt: skip
@ADDRESS
@click.option("--arm", help="Run this arm only, without baselines.")
@click.option("--policy", type=click.Path(path_type=Path, dir_okay=False),
              help="Policy of every site that has none of its own.")  # fmt: skip
@PLUGIN
@JSON
def run(  # noqa: PLR0913 - one for each option
    study: Path,
    home: Path | None,
    engine: str,
    address: str | None,
    arm: str | None,
    policy: Path | None,
    plugin: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Run a study: every arm, every repeat, every baseline."""
    from medfl import console

    asked = console.engine(engine, address, as_json=as_json)
    console.run(study, home, engine=asked, arm=arm, policy=policy, plugins=plugin, as_json=as_json)


@main.command()
@RUN
@HOME
@ADDRESS
@PLUGIN
@JSON
@click.option("--unless-stopped", is_flag=True, help="Do not go on where somebody has asked it to stop.")
def resume(
    run: str, home: Path | None, address: str | None, plugin: tuple[Path, ...], as_json: bool, unless_stopped: bool
) -> None:
    """Go on with an interrupted run, and with all that was started together with it."""
    from medfl import console

    console.resume(run, home, address=address, plugins=plugin, as_json=as_json, unless_stopped=unless_stopped)


@main.command()
@RUN
@HOME
@click.option("--now", is_flag=True, help="Do not wait for the round that is going on; it is asked for again later.")
@JSON
def stop(run: str, home: Path | None, now: bool, as_json: bool) -> None:
    """Stop a run that another process carries out, and all that was started together with it."""
    from medfl import console_stop

    console_stop.stop(run, home, now=now, as_json=as_json)


@main.command()
@RUN
@HOME
@click.option("--why", default="", help="The reason; it stands in the journal.")
@JSON
def pause(run: str, home: Path | None, why: str, as_json: bool) -> None:
    """Pause a run that another process carries out, once its round is stored; medfl resume goes on with it."""
    from medfl import console_stop

    console_stop.pause(run, home, why=why, as_json=as_json)


@main.command()
@RUN
@click.argument("site")
@HOME
@click.option("--why", required=True, help="The reason; it stands in the journal and in the report.")
@JSON
def drop(run: str, site: str, home: Path | None, why: str, as_json: bool) -> None:
    """Leave a site out of a run from the next round on, and out of all that was started together with it."""
    from medfl import console_stop

    console_stop.drop(run, site, home, why=why, as_json=as_json)


@main.command()
@HOME
@click.option("--baselines", is_flag=True, help="List the runs of baselines too.")
@click.option("--watch", is_flag=True, help="Go on showing them as they change, until Ctrl-C; with --json a line each.")
@JSON
def runs(home: Path | None, baselines: bool, watch: bool, as_json: bool) -> None:
    """List the runs, newest first."""
    from medfl import console, console_watch

    if watch:
        console_watch.watch(home, baselines=baselines, as_json=as_json)
    else:
        console.runs(home, baselines=baselines, as_json=as_json)


@main.command()
@HOME
@click.option("--delta", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=1e-5, show_default=True,
              help="The δ that ε is told at.")  # fmt: skip
@JSON
def budget(home: Path | None, delta: float, as_json: bool) -> None:
    """Tell what each simulated site has spent of its patients' privacy, over all runs."""
    from medfl import console

    console.budget(home, delta, as_json=as_json)


@main.command()
@RUN
@HOME
@JSON
def show(run: str, home: Path | None, as_json: bool) -> None:
    """Show what is known of a run."""
    from medfl import console

    console.show(run, home, as_json=as_json)


@main.command()
@click.argument("run_or_study")
@HOME
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write [default: NAME.html]."
)
@click.option("--pdf", is_flag=True, help="Write it as PDF, which a name that ends in .pdf means too.")
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", help="Language of the report.")
def report(run_or_study: str, home: Path | None, output: Path | None, pdf: bool, language: Literal["en", "fr"]) -> None:
    """Write the report of a run or study as one HTML file, or as PDF."""
    from medfl import console_report

    console_report.report(run_or_study, home, output, pdf=pdf, language=language)


@main.command()
@click.argument("study", metavar="STUDY")
@HOME
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False),
    help="File to write: .py, .ipynb or .toml [default: a script, on the terminal].",
)  # fmt: skip
def code(study: str, home: Path | None, output: Path | None) -> None:
    """Write a study, of a run or a file (code is read, never run), as a script, a notebook or a spec."""
    from medfl import console_code

    console_code.code(study, home, output)


@main.command()
@RUN
@HOME
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder to write [default: model-RUN]."
)
def export(run: str, home: Path | None, output: Path | None) -> None:
    """Export a run's model: weights as safetensors, and all that is needed to use them."""
    from medfl import console

    console.export(run, home, output)


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="CSV file to write [default: the terminal]."
)
@PLUGIN
def predict(model: Path, table: Path, output: Path | None, plugin: tuple[Path, ...]) -> None:
    """Predict the rows of a table with an exported model."""
    from medfl import console

    console.predict(model, table, output, plugins=plugin)


@main.group()
def policy() -> None:
    """Write a site's policy, check it, say what it means."""


POLICY = click.argument("policy", type=click.Path(path_type=Path))


@policy.command()
@click.argument("policy", type=click.Path(path_type=Path, dir_okay=False), default="policy.toml")
def init(policy: Path) -> None:
    """Write a policy to start from, with a comment on every key."""
    from medfl import console_policy

    console_policy.init(policy)


@policy.command("check")
@POLICY
@click.option("--study", type=click.Path(path_type=Path, dir_okay=False), help="Say what it would say to this study.")
@JSON
def check_policy(policy: Path, study: Path | None, as_json: bool) -> None:
    """Say whether a policy is well written, and what it would say to a study, rule by rule."""
    from medfl import console_policy

    console_policy.check(policy, study, as_json=as_json)


@policy.command("explain")
@POLICY
@JSON
def explain_policy(policy: Path, as_json: bool) -> None:
    """Say in plain words what leaves a site under this policy, and what never does."""
    from medfl import console_policy

    console_policy.explain(policy, as_json=as_json)


@main.command()
@click.argument("address", required=False, metavar="[HOST[:PORT]]")
@click.option("--site", type=click.Path(path_type=Path, file_okay=False), help="Folder of a site to look at.")
@click.option("--hub", "hub_home", type=click.Path(path_type=Path, file_okay=False), help="Folder of a hub to look at.")
@JSON
def doctor(address: str | None, site: Path | None, hub_home: Path | None, as_json: bool) -> None:
    """Find what stands between a site and its hub: name, proxy, firewall, TLS, clock, version, key, disk."""
    from medfl import console_doctor

    console_doctor.doctor(address, site=site, hub=hub_home, as_json=as_json)


hub.add_command(service_of_hub)
main.add_command(app)
for command in BUNDLES:
    main.add_command(command)
main.add_command(hub)
main.add_command(submit)
main.add_command(flower)
main.add_command(vpn)


@main.group()
def site() -> None:
    """Be a hospital: enrol at a hub; data sets, studies, log."""


for verb in (*ENROLMENT, service_of_site, *VERBS):
    site.add_command(verb)


if __name__ == "__main__":
    entry()
