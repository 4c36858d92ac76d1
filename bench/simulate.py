"""What we claim about the speed of a simulation, measured: ``python bench/simulate.py``.

Runs the diabetes study's ``fedavg`` arm (10 sites, MLP 64-32, 10 rounds) and the same job as a plain PyTorch loop, one
after the other on the same single core, and prints the ratio. Absolute times drift with the machine; ratios do not.
The plain loop hides nothing, so secure aggregation is off for the ratio; what it costs is printed beside. Then: 100
sites against 10, rows × 10, memory of the whole process, and the time to the first round.

Reads ``../shared`` (the study, its data and the plain loop) and says so where it is absent.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
STUDY = SHARED / "studies" / "diabetes.toml"
PLAIN = SHARED / "peers" / "plain_torch.py"
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Measured:
    """One process: its output, wall time (s) and peak memory (MiB)."""

    output: str
    wall: float
    peak: float


def measured(command: list[str]) -> Measured:
    """Run a command on one core and measure the whole of it."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | ONE_CORE, preexec_fn=_one_core
    )
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed with status {status}")
    return Measured(output.decode(), time.perf_counter() - began, usage.ru_maxrss / 1024)


def _one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def medfl(study: Path) -> tuple[Measured, dict[str, object]]:
    """Run the fedavg arm of a study; return the process and its run."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "medfl", "run", str(study), "--arm", "fedavg", "--home", home, "--json"]
        process = measured(command)
    return process, json.loads(process.output)["runs"][0]


def varied(folder: Path, name: str, change: dict[str, str], *, secure: bool = False) -> Path:
    """Write a copy of the study with some lines replaced, and secure aggregation on or off."""
    text = STUDY.read_text(encoding="utf-8").replace("../data/diabetes100k.csv", str(SHARED / "data/diabetes100k.csv"))
    for old, new in change.items():
        if old not in text:
            sys.exit(f"the study has no line {old!r}")
        text = text.replace(old, new)
    text = text.replace("[evaluation]", f"[privacy]\nsecure_aggregation = {str(secure).lower()}\n\n[evaluation]")
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def against_plain_torch(folder: Path, repeats: int) -> None:
    """Print the ratio of wall times, each repeat with both jobs side by side in time."""
    ratios, whole, secured = [], [], []
    clear, hidden = (varied(folder, f"secure-{secure}", {}, secure=secure) for secure in (False, True))
    for _ in range(repeats):
        ours, run = medfl(clear)
        _, in_sums = medfl(hidden)
        theirs = measured([sys.executable, str(PLAIN)])
        seconds = float(re.search(r"plain torch: ([\d.]+)s", theirs.output)[1])  # type: ignore[index]
        auc = re.search(r"AUC ([\d.]+)", theirs.output)[1]  # type: ignore[index]
        ratios.append(seconds / run["wall_s"])
        secured.append((in_sums["wall_s"] - run["wall_s"]) / in_sums["rounds"])
        whole.append(theirs.wall / ours.wall)
        scored = [site["metrics"]["auc"] for site in run["sites"].values() if site["metrics"]["auc"] is not None]
        print(f"  medfl {run['wall_s']:.2f} s (process {ours.wall:.2f} s, {ours.peak:.0f} MiB)", end="; ")
        print(f"plain torch {seconds:.2f} s (process {theirs.wall:.2f} s, {theirs.peak:.0f} MiB)", end="; ")
        print(f"mean site AUC {sum(scored) / len(scored):.4f} and {auc}; ratio {ratios[-1]:.1f}", flush=True)
    middle, middle_whole = (sorted(values)[len(values) // 2] for values in (ratios, whole))
    print(f"ratio of wall times: {middle:.1f} (median; whole processes {middle_whole:.1f})")
    print(f"secure aggregation: {1e3 * sorted(secured)[len(secured) // 2]:.0f} ms more a round, all ten sites together")


def on_the_same_rows(folder: Path) -> None:
    """Print the mean site AUC of both on exactly the plain loop's rows: its sites, its features, its test rows."""
    sys.path.insert(0, str(PLAIN.parent))
    import pandas as pd
    from job import parts  # type: ignore[import-not-found]

    from medfl import Study, simulate

    tables, lists = {}, {}
    for number, (train, train_outcome, test, test_outcome) in enumerate(parts()):
        name = f"site-{number:02}"
        table = pd.DataFrame([*train, *test]).rename(columns=lambda column: f"x{column}")
        table["sick"] = [*train_outcome.astype(int), *test_outcome.astype(int)]
        table["row"] = range(len(table))
        lists[name] = f"{name}.txt"
        (folder / lists[name]).write_text("\n".join(map(str, range(len(train), len(table)))), encoding="utf-8")
        tables[name] = table
    study = Study.model_validate(
        {
            "study": {"name": "same-rows", "seed": 1},
            "data": {"target": "sick", "one_class": "keep"},
            "preprocess": {"scale": "none"},
            "model": {"kind": "mlp", "hidden": [64, 32]},
            "training": {"optimizer": "sgd", "learning_rate": 0.05, "batch_size": 32},
            "algorithm": {"kind": "fedavg", "rounds": 10},
            "evaluation": {"id_column": "row", "test_ids": lists},
        }
    )
    # Lists are read from the folder that one is in, and from nowhere else.
    with chdir(folder):
        summary = simulate(study, tables, home=folder / "home", progress=False).summary
    scored = [site["metrics"]["auc"] for site in summary["runs"][0]["sites"].values()]
    defined = [auc for auc in scored if auc is not None]
    theirs = re.search(r"AUC ([\d.]+)", measured([sys.executable, str(PLAIN)]).output)[1]  # type: ignore[index]
    print(f"on the same rows: mean site AUC {sum(defined) / len(defined):.4f}, plain torch {theirs}")


def many_sites(folder: Path) -> None:
    """Print how 100 sites compare with 10, by the run's own clock and by the whole command's."""
    few, many = (medfl(varied(folder, f"sites{n}", {"sites = 10": f"sites = {n}"})) for n in (10, 100))
    ratio, whole = many[1]["wall_s"] / few[1]["wall_s"], many[0].wall / few[0].wall
    print(
        f"100 sites take {ratio:.2f} × the time of 10 sites ({many[1]['wall_s']:.2f} s and {few[1]['wall_s']:.2f} s);",
        end=" ",
    )
    print(f"the whole command {whole:.2f} × ({many[0].wall:.2f} s and {few[0].wall:.2f} s)")


def many_rows(folder: Path) -> None:
    """Print how a million rows compare with a hundred thousand."""
    table = folder / "million.csv"
    lines = (SHARED / "data/diabetes100k.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text(lines[0] + "".join(lines[1:]) * 10, encoding="utf-8")
    small, large = (
        medfl(varied(folder, name, change))
        for name, change in (("rows1", {}), ("rows10", {str(SHARED / "data/diabetes100k.csv"): str(table)}))
    )
    ratio = large[1]["wall_s"] / small[1]["wall_s"]
    print(f"10 × the rows take {ratio:.1f} × the time ({large[1]['wall_s']:.2f} s; {large[0].peak:.0f} MiB)")


def first_round(folder: Path) -> None:
    """Print the time from the end of the imports to the first training, by running no more than one round."""
    one = varied(folder, "one", {"rounds = 10": "rounds = 1"})
    process, _ = medfl(one)
    imports = measured([sys.executable, "-c", "import medfl.inspection, medfl.publish.terminal"])
    print(
        f"one round from start to stored end: {process.wall - imports.wall:.2f} s after {imports.wall:.2f} s of imports"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="pairs of runs behind the ratio")
    parser.add_argument("--only-ratio", action="store_true", help="skip sites, rows and start-up")
    arguments = parser.parse_args()
    if not STUDY.exists():
        sys.exit(f"skipped: {STUDY} is absent")
    with tempfile.TemporaryDirectory() as scratch:
        against_plain_torch(Path(scratch), arguments.repeats)
        if not arguments.only_ratio:
            on_the_same_rows(Path(scratch))
            first_round(Path(scratch))
            many_sites(Path(scratch))
            many_rows(Path(scratch))
