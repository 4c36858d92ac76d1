"""``medfl bundle``, ``medfl verify`` and ``medfl reproduce``, as they are typed."""

from __future__ import annotations

from pathlib import Path

import click

HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the journal and the artefacts [default: $MEDFL_HOME or ~/.medfl].",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, also of a failure.")
BUNDLE = click.argument("bundle", type=click.Path(path_type=Path))


@click.command("bundle")
@click.argument("run_or_study")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False),
              help="File to write [default: STUDY-EXECUTION.zip].")  # fmt: skip
@HOME
@JSON
def bundle_(run_or_study: str, out: Path | None, home: Path | None, as_json: bool) -> None:
    """Write one signed file with everything of a study but its patients' data."""
    from medfl import console_bundle

    console_bundle.bundle(run_or_study, home, out, as_json=as_json)


@click.command()
@BUNDLE
@click.option("--signer", metavar="FINGERPRINT|FILE",
              help="Who is to have signed it: 64 hex digits, or a file with them or a hub's certificate.")  # fmt: skip
@JSON
def verify(bundle: Path, signer: str | None, as_json: bool) -> None:
    """Look whether a bundle is what it says it is: digests, signature, journal, models, results, ε."""
    from medfl import console_bundle

    console_bundle.verify(bundle, signer=signer, as_json=as_json)


@click.command()
@BUNDLE
@click.option("--home", type=click.Path(path_type=Path, file_okay=False),
              help="Keep the new runs in this store [default: they are thrown away].")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Folder that the study's paths start from [default: this one].")  # fmt: skip
@click.option("--plugin", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True,
              help="Python file of your own to load first, e.g. one that registers a torch model.")  # fmt: skip
@JSON
def reproduce(bundle: Path, home: Path | None, data: Path | None, plugin: tuple[Path, ...], as_json: bool) -> None:
    """Run a bundled simulation again, and say whether it gives the same models and metrics."""
    from medfl import console_bundle

    console_bundle.reproduce(bundle, home, data=data, plugins=plugin, as_json=as_json)


BUNDLES: tuple[click.Command, ...] = (bundle_, verify, reproduce)
"""What is done with bundles."""
