"""The command line: what each verb prints, for people and for machines."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medfl.testing.command import MEDFL, typed, typed_apart

ARMS = """
[evaluation]
bootstrap = 20
baselines = ["centralised", "local-only"]

[[arm]]
name = "plain"

[[arm]]
name = "adaptive"
algorithm = { kind = "fedadam" }
"""
RUN = re.compile(r"[0-9a-f]{8}-\d+")
METRICS = {"auc", "accuracy", "sensitivity", "specificity", "f1", "brier"}
SITES = ["east", "north", "west"]
HEAVY = ("torch", "pandas", "sklearn", "matplotlib", "sqlalchemy", "scipy", "numpy", "rich", "pydantic")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MEDFL_JOURNAL", raising=False)
    monkeypatch.setenv("MEDFL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def arms(edited: Callable[..., Path]) -> Path:
    return edited(("seed = 7", "seed = 7\nrepeats = 2"), more=ARMS)


@pytest.fixture
def done(tiny: Path) -> dict[str, Any]:
    """Return the one run of the small study."""
    return dict(typed("run", tiny, "--json").json["runs"][0])


def test_check_says_what_will_happen(tiny: Path, home: Path) -> None:
    said = typed("check", tiny)
    assert (said.code, said.err) == (0, "")
    for fragment in (
        "3 sites; each keeps its rows",
        "4 rounds of fedavg",
        "Never: a row of a table",
        f"medfl run {tiny}",
    ):
        assert fragment in said.out
    told = typed("check", tiny, "--json").json
    assert set(told) == {"ok", "study", "digest", "explained"}
    assert (told["ok"], told["study"]) == (True, "tiny")
    assert not home.exists(), "nothing is stored"


def test_run_prints_one_object(arms: Path) -> None:
    said = typed("run", arms, "--json")
    assert said.code == 0
    told = said.json
    assert list(told)[:4] == ["study", "digest", "runs", "baselines"]
    assert {"comparisons", "noninferiority", "worst_sites", "subgroups", "contributions", "importance"} <= set(told)
    assert told["study"] == "tiny"
    assert told["digest"] == typed("check", arms, "--json").json["digest"]
    assert [(run["arm"], run["seed"]) for run in told["runs"]] == [
        ("plain", 7), ("plain", 8), ("adaptive", 7), ("adaptive", 8)
    ]  # fmt: skip
    for run in told["runs"]:
        assert list(run) == [
            "run", "arm", "seed", "status", "rounds", "model", "wall_s", "metrics", "sites", "privacy"
        ]  # fmt: skip
        assert RUN.fullmatch(run["run"])
        assert (run["status"], run["rounds"]) == ("finished", 4)
        assert re.fullmatch(r"[0-9a-f]{64}", run["model"])
        assert run["wall_s"] > 0
        assert set(run["metrics"]) > METRICS
        assert list(run["sites"]) == SITES
        for site in run["sites"].values():
            assert list(site) == ["train_rows", "test_rows", "metrics"]
            assert set(site["metrics"]) > METRICS
        assert run["privacy"] == {"secure_aggregation": True, "unit": None, "epsilon": None, "delta": None}
    assert [(entry["baseline"], entry["seed"], entry["site"]) for entry in told["baselines"]] == [
        ("centralised", 7, None), ("centralised", 8, None),
        *(("local-only", seed, site) for seed in (7, 8) for site in SITES),
    ]  # fmt: skip
    for entry in told["baselines"]:
        assert list(entry) == ["baseline", "seed", "site", "metrics"]
        assert set(entry["metrics"]) > METRICS


def test_run_for_people(arms: Path, home: Path) -> None:
    said = typed("run", arms, "--home", home)
    assert said.code == 0
    for word in ("All sites together", "plain", "adaptive", "centralised", "alone", "AUC", *SITES):
        assert word in said.out
    assert "plain, seed 7: round 4 of 4, loss " in said.err
    assert said.err.endswith(f"Stored in {home}. To read it as a page: medfl report tiny --home {home}\n")
    assert not re.search(r" $", said.out, re.MULTILINE), "no spaces at the ends of lines"


def test_one_arm_runs_without_baselines_and_says_so(arms: Path) -> None:
    said = typed("run", arms, "--arm", "adaptive", "--json")
    assert [run["arm"] for run in said.json["runs"]] == ["adaptive", "adaptive"]
    assert said.json["baselines"] == []
    assert "Arm adaptive only: centralised and local-only are run with the whole study, without --arm." in said.err
    assert "without baselines" in typed("run", "--help").out


def test_runs_lists_the_newest_first(tiny: Path, home: Path) -> None:
    assert f"No runs yet in {home}" in typed("runs").out
    assert typed("runs", "--json").json == []
    first, second = (typed("run", tiny, "--json").json["runs"][0]["run"] for _ in range(2))
    entry = {"study": "tiny", "arm": "base", "seed": 7, "status": "finished", "rounds": 4}
    assert typed("runs", "--json").json == [{"run": run, **entry} for run in (second, first)]
    assert [line.split()[0] for line in typed("runs").out.splitlines()] == ["Run", second, first]


def test_show(done: dict[str, Any]) -> None:
    said = typed("show", done["run"])
    for word in (done["run"], "finished", "4 of 4", done["model"], *SITES, f"medfl report {done['run']}"):
        assert word in said.out
    assert typed("show", done["run"], "--json").json == done


def test_resume_of_what_is_finished_prints_the_same(arms: Path) -> None:
    told = typed("run", arms, "--json").json
    for run in told["runs"]:
        assert typed("resume", run["run"], "--json").json == told


@pytest.mark.parametrize("verb", ["show", "resume", "report", "export"])
def test_a_run_that_is_none(verb: str, done: dict[str, Any], home: Path) -> None:
    wrong = done["run"].replace("-1", "-9")
    said = typed(verb, wrong)
    assert said.code == 2
    assert f"{home}: there is no such run or study (found: {wrong})" in said.err
    assert f"did you mean {done['run']!r}?" in said.err
    assert "medfl runs" in said.err
    assert "--home" in said.err


@pytest.mark.parametrize("verb", ["show", "resume", "report", "export"])
def test_the_beginning_of_a_run_is_enough_if_only_one_begins_so(verb: str, arms: Path) -> None:
    runs = [run["run"] for run in typed("run", arms, "--json").json["runs"]]
    prefix = runs[0][:8]
    said = typed(verb, prefix)
    if verb == "report":
        assert said.code == 0, "it stands for all runs begun together"
        return
    assert said.code == 2
    assert f"more than one run begins so (found: {prefix})" in said.err
    assert f"{prefix}-1, {prefix}-2" in said.err
    assert typed(verb, runs[1]).code == 0


def test_report_of_a_study_and_of_a_run(done: dict[str, Any], tmp_path: Path) -> None:
    assert typed("report", "tiny").out == "Report: tiny.html\n"
    assert typed("report", done["run"], "-o", "mine.html").out == "Report: mine.html\n"
    for name in ("tiny.html", "mine.html"):
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert page.lower().startswith("<!doctype html>")
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", page), "no network"


@pytest.mark.parametrize("how", ["failed before the first round", "failed in training", "interrupted"])
def test_report_of_a_run_that_did_not_end(
    how: str, edited: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes = {"failed in training": [("batch_size = 16", "batch_size = 16\nlearning_rate = 1e30")]}.get(how, [])
    study = edited(*changes)
    if how == "failed before the first round":
        study.with_name("west.csv").unlink()
    if how == "interrupted":
        interrupt_in_round(2, monkeypatch)
    said = typed("run", study, "--json")
    assert said.code == (130 if how == "interrupted" else 2)
    (run,) = said.json["runs"]
    assert run["status"] == how.split()[0]
    assert typed("report", run["run"], "-o", "page.html").code == 0
    assert how.split()[0] in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert how.split()[0] in typed("show", run["run"]).out


def interrupt_in_round(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C while a site trains."""
    from medfl.site.answer import Site

    answer = Site.answer

    def pressed(site: Site, request: Any) -> Any:
        if request.round == number:
            raise KeyboardInterrupt
        return answer(site, request)

    monkeypatch.setattr(Site, "answer", pressed)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("report", "tiny", "-o", "nowhere/page.html"), "choose another place with -o"),
        (("export", "RUN", "-o", "taken"), "the folder exists already"),
        (("export", "RUN", "-o", "file/model"), "choose another place with -o"),
        (("predict", "MODEL", "east.csv", "-o", "nowhere/out.csv"), "choose another place with -o"),
        (("predict", "nowhere", "east.csv"), "nowhere: there is no such model"),
        (("predict", "east.csv", "east.csv"), "medfl export"),
        (("predict", "MODEL", "nowhere.csv"), "nowhere.csv: no such file"),
    ],
)
def test_what_cannot_be_written_or_read(
    words: tuple[str, ...], what: str, done: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()
    assert typed("export", done["run"], "-o", "model").code == 0
    said = typed(*({"RUN": done["run"], "MODEL": "model"}.get(word, word) for word in words))
    assert said.code == 2
    assert what in said.err
    assert "→" in said.err
    assert not [path for path in tmp_path.rglob(".*") if path.name.startswith((".taken", ".model"))]


def test_a_disk_that_is_full_is_not_the_users_mistake(done: dict[str, Any]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    said = typed("report", done["run"], "-o", "/dev/full")
    assert said.code == 1
    assert "free some space" in said.err


def test_a_run_without_a_model_cannot_be_exported(tiny: Path) -> None:
    tiny.with_name("west.csv").unlink()
    run = typed("run", tiny, "--json").json["runs"][0]["run"]
    said = typed("export", run)
    assert said.code == 2
    assert f"{run}: this run has no model to export" in said.err
    assert "choose a run that finished a round" in said.err


@pytest.mark.parametrize("words", [("frobnicate",), ("run",), ("show", "--nope")])
def test_what_is_typed_wrongly(words: tuple[str, ...]) -> None:
    said = typed(*words)
    assert said.code == 2
    assert "--help" in said.err
    assert said.out == ""
    told = typed(*words, "--json")
    assert told.code == 2
    assert told.json["error"]["complaints"][0]["what"] in told.err


@pytest.mark.parametrize("verb", ["", "check", "run", "resume", "runs", "show", "report", "export", "predict"])
def test_every_verb_explains_itself(verb: str) -> None:
    said = typed(*filter(None, (verb, "--help")))
    assert said.code == 0
    assert said.out.startswith("Usage: medfl")


def test_version() -> None:
    assert re.fullmatch(r"medfl, version \d+\.\d+\..+\n", typed("--version").out)


def test_no_control_characters_in_a_pipe(arms: Path) -> None:
    said = typed_apart("run", arms)
    for text in (said.out, said.err, typed_apart("runs").out, typed_apart("show", RUN.findall(said.err)[0]).out):
        assert text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def on_a_terminal(*words: object, **environment: str) -> str:
    """Return what a command writes to a terminal."""
    parent, child = pty.openpty()
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "CI")}
    process = subprocess.Popen(
        [*MEDFL, *map(str, words)], stdout=child, stderr=child, env=known | {"TERM": "xterm-256color"} | environment
    )
    os.close(child)
    said = b""
    with os.fdopen(parent, "rb", buffering=0) as terminal:
        while part := _read(terminal.fileno()):
            said += part
    process.wait(60)
    return said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux says that the other end is closed
        return b""


COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])(?:;\d+)*m")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("run", "study.toml"), ("check", "study.toml"), ("show", "nope"), ("runs",)])
def test_colour_on_a_terminal_and_none_where_none_is_wanted(words: tuple[str, ...], tiny: Path) -> None:
    typed("run", tiny)
    assert COLOUR.search(on_a_terminal(*words))
    assert not COLOUR.search(on_a_terminal(*words, NO_COLOR="1"))


@pytest.mark.slow
def test_progress_moves_on_a_terminal(tiny: Path) -> None:
    said = on_a_terminal("run", tiny)
    assert "1 of 1 runs" in said
    assert "All sites together" in said
    assert "started as" not in said, "lines are for pipes"


def piped(first: str, reader: str) -> subprocess.CompletedProcess[str]:
    """Run a pipe in a shell that reports the first command's exit code."""
    script = f"set -o pipefail; {sys.executable} -m medfl {first} | {reader}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_a_reader_that_leaves_early(done: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    typed("export", done["run"], "-o", tmp_path / "model")
    east = tiny.with_name("east.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "many.csv").write_text(east[0] + "".join(east[1:]) * 400, encoding="utf-8")
    for command in ("runs", f"show {done['run']}", "predict model many.csv"):
        said = piped(command, "head -1")
        assert (said.returncode, said.stderr) == (0, ""), command
        assert said.stdout.count("\n") == 1


@pytest.mark.slow
def test_a_run_goes_on_when_nobody_watches_any_more(tiny: Path) -> None:
    said = piped(f"run {tiny} --json 2>&1 >/dev/null", "head -1")
    assert said.returncode == 0
    assert "started as" in said.stdout
    assert typed("runs", "--json").json[0]["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["-m", "medfl", "--help"], ["-c", "import medfl"]], ids=["medfl --help", "import medfl"]
)
def test_it_starts_at_once(words: list[str]) -> None:
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("words", ["import medfl", "import sys; sys.argv = ['medfl', '--help']; import medfl.__main__"])
def test_nothing_heavy_is_imported_to_start(words: str) -> None:
    script = f"import atexit, sys\natexit.register(lambda: print('modules', *sys.modules, file=sys.stderr))\n{words}"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not set(HEAVY) & set(done.stderr.partition("modules ")[2].split())


def test_the_module_is_the_command() -> None:
    assert typed_apart("--version").out == typed("--version").out


def test_a_bug_may_be_looked_at(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDFL_DEBUG", "1")
    said = typed_apart("show", "nope")
    assert said.code == 1
    assert "Traceback" in said.err


def test_pages_keep_every_letter(edited: Callable[..., Path], tmp_path: Path) -> None:
    study = edited(('question = "', 'question = "Łódź «ε» <b> \\"x\\" \\\\ '))
    assert 'Łódź «ε» <b> "x" \\ Does' in typed("check", study).out
    assert typed("run", study).out.startswith('Łódź «ε» <b> "x" \\ Does')
    assert typed("report", "tiny").code == 0
    assert "Łódź «ε» &lt;b&gt; " in (tmp_path / "tiny.html").read_text(encoding="utf-8")
