"""Four real hospitals over a hub, each a process of its own, from nothing to a report; and the same in one process.

Everything here is typed as the people of a hub and of four hospitals would type it, each in a folder of its own. The
fourth hospital comes late. In the end the two models are compared, bit for bit: once with sums in clear, once masked.

    python examples/heart/federate.py FOLDER-WITH-THE-FILES
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MEDFL = (sys.executable, "-m", "medfl")
FILES = {
    "cleveland": "processed.cleveland.data",
    "hungary": "processed.hungarian.data",
    "switzerland": "processed.switzerland.data",
    "va-long-beach": "processed.va.data",
}
LATE = "va-long-beach"
PATIENCE = 600.0
"""Seconds that a study may take."""


def main(data: Path, build: Path) -> int:
    if missing := [name for name in FILES.values() if not (data / name).is_file()]:
        print(
            f"Not found in {data}: {', '.join(missing)}.\n"
            "These are the processed files of the UCI Heart Disease data set (archive.ics.uci.edu, data set 45).\n"
            "Name their folder: make federation DATA=FOLDER"
        )
        return 2
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    told = {}
    with hub(build / "hub"):
        homes = {name: hospital(build, name, data / file) for name, file in FILES.items()}
        with answering(homes) as begin:
            for number, mode in enumerate(("in clear", "masked")):
                told[mode] = compared(build, homes, mode, data=data, begin=begin if number == 0 else None)
    report = build / "report.html"
    medfl("report", "heart-masked", "--home", build / "hub", "-o", report)
    for mode, one in told.items():
        same = "the same model" if one["in_process"] == one["federation"] else "ANOTHER MODEL"
        print(f"Sums {mode}: {one['rounds']} rounds in {one['seconds']} s over the hub; {same} as in one process.")
    print(f"Report: {report}")
    print(json.dumps({**told["masked"], "in_clear": told["in clear"]}))
    return 0 if all(one["in_process"] == one["federation"] for one in told.values()) else 1


@contextmanager
def hub(home: Path) -> Iterator[None]:
    """Make a hub and serve it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    medfl("hub", "init", "--name", "Heart consortium", "--host", "127.0.0.1", "--port", port, "--home", home)
    with process("hub", "start", "--bind", "127.0.0.1", "--home", home) as serving:
        line = serving.stdout.readline() if serving.stdout else ""
        if "listens" not in line:
            raise SystemExit(f"the hub did not start: {line}{serving.communicate()[0]}")
        yield


def hospital(build: Path, name: str, table: Path) -> Path:
    """Enrol a hospital, which compares fingerprints with the hub, registers its table and has a policy."""
    home, place = build / name, ("--home", build / "hub")
    invitation = read("hub", "invite", "--site", name, *place)["invitation"]
    own = read("site", "enrol", invitation, "--no-wait", "--home", home)["fingerprint"]
    at_hub = {one["name"]: one["fingerprint"] for one in read("hub", "sites", *place)}[name]
    if own != at_hub:
        raise SystemExit(f"{name}: the fingerprints differ, {own} and {at_hub}")
    medfl("hub", "approve", name, "--yes", *place)
    medfl("site", "status", "--home", home)
    columns = re.search(r"^columns = \[(.*)\]", (HERE / "study.toml").read_text(encoding="utf-8"), re.MULTILINE)
    named = columns[1].replace('"', "").replace(" ", "") if columns else ""
    medfl(
        "site",
        "dataset",
        "add",
        "heart",
        table,
        "--target",
        "num",
        "--columns",
        named,
        "--missing",
        "?",
        "--home",
        home,
    )
    shutil.copyfile(HERE / "policy.toml", home / "policy.toml")
    print(f"{name} is enrolled; fingerprint {own}")
    return home


@contextmanager
def answering(homes: dict[str, Path]) -> Iterator[Any]:
    """Start the agents of all hospitals but the late one, and yield what starts that."""
    with ExitStack() as stack:
        for name, home in homes.items():
            if name != LATE:
                stack.enter_context(process("site", "start", "--home", home))
        yield lambda: stack.enter_context(process("site", "start", "--home", homes[LATE]))


def compared(build: Path, homes: dict[str, Path], mode: str, *, data: Path, begin: Any) -> dict[str, Any]:
    """Run the study over the hub and in one process; return both models' digests."""
    study = written(build, mode, dict.fromkeys(FILES, "heart"), f"heart-{mode.replace(' ', '-')}")
    for home in homes.values():
        medfl("site", "approve", study, "--home", home)
    began = time.monotonic()
    execution = read("submit", study, "--home", build / "hub")["execution"]
    print(f"Sums {mode}: submitted as {execution}")
    if begin is not None:
        print(f"{LATE} comes late")
        begin()
    found = finished(build / "hub", execution)
    seconds = time.monotonic() - began
    alone = written(build, mode, {name: str((data / file).resolve()) for name, file in FILES.items()}, "in-process")
    said = read("run", alone, "--policy", HERE / "policy.toml", "--home", build / "in-process", "--arm", "base")
    digests = {"in_process": said["runs"][0]["model"], "federation": found["model"]}
    return {**digests, "rounds": found["rounds"], "seconds": round(seconds, 1)}


def written(build: Path, mode: str, sites: dict[str, str], file: str) -> Path:
    """Write the study for these tables."""
    text = (HERE / "study.toml").read_text(encoding="utf-8")
    text = text.replace('name = "heart"', f'name = "heart-{mode.replace(" ", "-")}"')
    for name, table in sites.items():
        text = text.replace(f'{name} = "{FILES[name]}"', f"{name} = {json.dumps(table)}")
    if mode == "in clear":
        text = text.replace("secure_aggregation = true", "secure_aggregation = false")
    path = build / f"{file}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def finished(home: Path, execution: str) -> dict[str, Any]:
    """Return what is known of the federated run once it and its baselines have ended."""
    until, rounds = time.monotonic() + PATIENCE, -1
    while time.monotonic() < until:
        runs = [one for one in read("runs", "--baselines", "--home", home) if one["run"].startswith(f"{execution}-")]
        first: dict[str, Any] = next(one for one in runs if one["run"] == f"{execution}-1")
        if all(one["status"] in ("finished", "failed") for one in runs):
            return {**first, **read("show", first["run"], "--home", home)}
        if first["rounds"] != rounds:
            rounds = first["rounds"]
            print(f"  round {rounds}", flush=True)
        time.sleep(1.0)
    raise SystemExit(f"{execution} has not ended after {PATIENCE:.0f} s; see {home}/hub.log")


def medfl(*words: object) -> str:
    """Type a command, and return what it says."""
    done = subprocess.run([*MEDFL, *map(str, words)], capture_output=True, text=True, check=False, env=quiet())
    if done.returncode:
        raise SystemExit(f"medfl {' '.join(map(str, words[:2]))}: {done.stderr or done.stdout}")
    return done.stdout


def read(*words: object) -> Any:
    """Type a command, and return what it says to a program."""
    return json.loads(medfl(*words, "--json"))


@contextmanager
def process(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command that goes on until it is ended."""
    command = [*MEDFL, *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=quiet()) as begun:
        try:
            yield begun
        finally:
            begun.terminate()


def quiet() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "NO_PROXY": "*"}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    sys.exit(main(folder, Path(sys.argv[2]) if len(sys.argv) > 2 else Path("build/federation")))
