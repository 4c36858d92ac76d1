"""The exported app: as Flower would run it, message by message, it gives the model of one process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zipfile import ZipFile

import pytest
from flwr.cli.build import build_fab_from_disk
from flwr.cli.config_utils import load_and_validate

from medfl.errors import DataError, EngineError, PlanError, RefusedError, SecureError
from medfl.events import RunPlanned, SiteFailed
from medfl.flower_app import write
from medfl.messages import Request, from_bytes
from medfl.publish.flower_app import packed
from medfl.run.flower import grid as engine
from medfl.run.flower.grid import GridLine
from medfl.run.flower.wire import brought
from medfl.store.home import Home
from medfl.store.shelf import whole_run
from medfl.testing.command import typed

Make = Callable[..., Any]
CLEAR = "[privacy]\nsecure_aggregation = false\n"


def in_process(study: Path) -> list[str]:
    said = typed("run", study, "--home", study.parent / "here", "--json")
    assert said.code == 0, said.err
    return [run["model"] for run in said.json["runs"]]


def over_flower(made: Any) -> list[str]:
    said = typed("runs", "--home", made.home, "--json")
    runs = [typed("show", run["run"], "--home", made.home, "--json").json for run in said.json]
    assert {run["status"] for run in runs} == {"finished"}
    return [run["model"] for run in runs]


def test_two_sites_in_clear_give_the_model_of_one_process(consortium: Make) -> None:
    made = consortium("east", "west")
    made.start()
    assert over_flower(made) == in_process(made.study)


def test_three_sites_hide_in_sums_and_give_the_same_model(consortium: Make) -> None:
    made = consortium()
    made.start()
    assert over_flower(made) == in_process(made.study)
    asked = [(from_bytes(brought(one)), from_bytes(brought(reply))) for _, one, reply in made.grid.heard[3:]]
    trained = [reply for request, reply in asked if isinstance(request, Request) and request.task == "train"]
    assert len(trained) == 6
    for reply in trained:
        assert set(cast(Any, reply).arrays) == {"masked", "bundles", "commitments"}


def test_arms_and_sites_alone_too(consortium: Make) -> None:
    arm = '[[arm]]\nname = "prox"\nalgorithm = "fedprox"\n'
    made = consortium(more='baselines = ["local-only"]\n' + arm)
    made.start()
    with Home(made.home) as home:
        planned = [one.event for one in home.journal.read() if isinstance(one.event, RunPlanned)]
    assert [run.role for run in planned] == ["arm", "local-only"]
    assert over_flower(made) == in_process(made.study)


def test_what_travels_is_what_a_reviewer_reads_in_a_minute(consortium: Make) -> None:
    app = consortium().app
    assert {path.name for path in app.iterdir()} == {
        "pyproject.toml", "server_app.py", "client_app.py", "study.toml", "README.md"
    }  # fmt: skip
    for name in ("server_app.py", "client_app.py"):
        assert len((app / name).read_text(encoding="utf-8").splitlines()) < 30
    for words in (("check", "--select", "ALL", "--ignore", "INP001,D203,D213,I001,CPY001"), ("format", "--check")):
        done = subprocess.run(
            (sys.executable, "-m", "ruff", *words, "--isolated", "--line-length", "120", str(app)),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_flower_takes_the_app_as_it_is(consortium: Make) -> None:
    app = consortium().app
    config, warnings = load_and_validate(app / "pyproject.toml")
    assert warnings == []
    assert config["tool"]["flwr"]["app"]["config"]["sites"] == "east,north,west"
    assert config["project"]["dependencies"] == [], "nothing is downloaded"
    bundle = build_fab_from_disk(app)
    for name in ("study.toml", "server_app.py", "client_app.py"):
        assert name.encode() in bundle


def test_an_interrupted_run_goes_on_to_the_same_model(consortium: Make) -> None:
    made = consortium()
    made.grid.nodes[11].crashes.append("train 2")
    with pytest.raises(EngineError, match="saw its process die"):
        made.start()
    run = typed("runs", "--home", made.home, "--json").json[0]
    assert (run["status"], run["rounds"]) == ("failed", 1)
    on_this_machine = typed("resume", run["run"], "--home", made.home)
    assert on_this_machine.code == 2
    assert f"""flwr run APP --run-config 'resume="{run["run"]}"'""" in on_this_machine.err
    made.start(resume=run["run"])
    assert over_flower(made) == in_process(made.study)


def test_only_a_run_of_this_app_is_gone_on_with(consortium: Make) -> None:
    made = consortium("east", "west")
    ran = typed("run", made.study, "--home", made.home, "--json").json["runs"][0]["run"]
    with pytest.raises(PlanError, match="not one of this app"):
        made.start(resume=ran)


def test_a_site_that_knows_nobody_sends_nothing_in_clear(consortium: Make) -> None:
    made = consortium("east", "west", met=False)
    with pytest.raises(RefusedError, match="has not been told who takes part"):
        made.start()
    assert not [r for _, _, r in made.grid.heard if b'"sums' in brought(r)]


def test_where_the_study_itself_says_so_nobody_need_be_known(consortium: Make) -> None:
    made = consortium("east", "west", more=CLEAR, met=False)
    made.start()
    assert over_flower(made) == in_process(made.study)


def test_a_hub_that_leaves_a_hospital_out_gets_no_sums_in_clear(consortium: Make) -> None:
    made = consortium()
    with pytest.raises(RefusedError, match="the hub asks for it in clear"):
        made.start(sites="east,west")


def test_a_key_that_a_hospital_does_not_know_is_refused(consortium: Make) -> None:
    made = consortium(met=False)
    with pytest.raises(SecureError, match="a peer is not known here"):
        made.start()


def test_the_policy_that_a_home_starts_with_accepts_no_study(consortium: Make) -> None:
    made = consortium()
    policy = Path(made.configs["west"]["home"]) / "policy.toml"
    policy.unlink()
    with pytest.raises(EngineError, match=r"policy\.toml"):
        made.start()
    typed("policy", "init", policy)
    made.grid.heard.clear()
    with pytest.raises(RefusedError, match="site west"):
        made.start()


def test_noise_comes_from_secrets_and_the_ledger_stays(consortium: Make) -> None:
    pytest.importorskip("dp_accounting")
    more = (
        '[preprocess]\nimpute = "drop"\n[privacy.dp]\nunit = "record"\nepsilon = 5.0\n'
        "ranges = { age = [20, 100], dose = [-4, 4] }\n"
        'categories = { colour = ["amber", "blue", "clear"], sick = ["0", "1"] }\n'
    )
    made = consortium("east", "west", more=more)
    made.start()
    assert len(over_flower(made)) == 1
    home = Path(made.configs["east"]["home"])
    assert (home / "secret").stat().st_mode & 0o077 == 0
    assert (home / "ledger").exists()
    assert (made.home / "secret").stat().st_mode & 0o077 == 0


class TestReception:
    """Who is who, before anything is asked."""

    def test_who_is_missing_is_named(self, consortium: Make) -> None:
        made = consortium()
        del made.grid.nodes[12]
        with pytest.raises(EngineError, match=r"missing: west; there: east and north"):
            made.start()
        assert not made.home.joinpath("journal.db").exists() or typed("runs", "--home", made.home, "--json").json == []

    def test_a_node_of_another_study_is_left_alone(self, consortium: Make) -> None:
        made = consortium("east", "west")
        made.join(30, "north")
        made.start()
        assert len([number for number, _, _ in made.grid.heard if number == 30]) == 1, "it was greeted and no more"
        assert over_flower(made) == in_process(made.study)

    def test_two_nodes_for_one_site(self, consortium: Make) -> None:
        made = consortium()
        made.grid.nodes[20] = made.grid.nodes[10]
        with pytest.raises(EngineError, match="two nodes answer for one site"):
            made.start()

    @pytest.mark.parametrize(("node", "registered"), [(10, "west"), (12, "east")])
    def test_a_registered_name_binds(self, node: int, registered: str, consortium: Make) -> None:
        made = consortium()
        made.grid.nodes[node].registered = registered
        with pytest.raises(EngineError, match="not registered as"):
            made.start()

    def test_other_registered_names_are_labels(self, consortium: Make) -> None:
        made = consortium("east", "west")
        for node in made.grid.nodes.values():
            node.registered = "SuperNode of a hospital"
        made.start()
        assert len(over_flower(made)) == 1

    def test_other_versions_are_refused(self, consortium: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        made = consortium()
        monkeypatch.setattr(engine, "installed", lambda: "4.0")
        with pytest.raises(EngineError, match=r"different versions.*\n?.*4\.0 here"):
            made.start()

    def test_a_broken_node_config_is_told_at_once(self, consortium: Make) -> None:
        made = consortium()
        made.grid.nodes[10].config = {"site": "east"}
        with pytest.raises(EngineError, match="no data, home"):
            made.start()

    def test_a_supernode_that_was_started_anew_is_found_again(self, consortium: Make) -> None:
        made = consortium("east", "west")
        reception = engine.Reception(made.grid, ("east", "west"))
        nodes = reception.wait(0)
        assert nodes == {"east": 10, "west": 11}
        made.grid.nodes[11].online = False
        assert reception.again(nodes) == nodes
        made.join(30, "west")
        assert reception.again(nodes) == {"east": 10, "west": 30}

    @pytest.mark.parametrize("online", [True, False])
    def test_silence_is_a_trouble_of_who_is_there(
        self, online: bool, consortium: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = consortium("east", "west")
        made.grid.nodes[11].crashes.append("")
        reception = engine.Reception(made.grid, ("east", "west"))
        with monkeypatch.context() as patch:
            patch.setattr(made.grid, "pull_messages", lambda names: [])
            reception._look()
        made.grid.nodes[11].online = online
        reception._look()
        assert bool(reception._troubles) == online

    def test_a_run_config_without_sites(self, consortium: Make) -> None:
        made = consortium()
        with pytest.raises(PlanError, match="the run config is not what MEDfl needs"):
            made.start(sites="")


def test_what_flower_does_not_take_is_said(consortium: Make) -> None:
    full = SimpleNamespace(push_messages=lambda messages: [])
    with pytest.raises(EngineError, match="does not take a message"):
        GridLine(cast(Any, full)).push([(b"body", 3)])


def test_a_lost_node_is_named_and_the_others_go_on(consortium: Make) -> None:
    made = consortium(more=CLEAR)
    study = made.app / "study.toml"
    text = study.read_text(encoding="utf-8")
    study.write_text(text.replace("rounds = 2", "rounds = 2\nmin_sites = 2"), encoding="utf-8")
    made.grid.nodes[12].crashes.append("train 2")
    made.start()
    with Home(made.home) as home:
        (lost,) = (one.event for one in home.journal.read() if isinstance(one.event, SiteFailed))
    assert (lost.site, lost.round, lost.stage) == ("west", 2, "train")
    assert len(over_flower(made)) == 1


def test_a_plugin_at_the_superlink_is_loaded_first(consortium: Make) -> None:
    made = consortium("east", "west")
    made.grid.nodes.clear()
    plugin = made.study.parent / "mine.py"
    plugin.write_text("import pathlib\npathlib.Path(__file__).with_suffix('.loaded').touch()\n", encoding="utf-8")
    with pytest.raises(EngineError, match="there: nobody"):
        made.start(plugin=str(plugin))
    assert plugin.with_suffix(".loaded").exists()


def test_the_journal_says_what_carried_it(consortium: Make) -> None:
    made = consortium("east", "west")
    made.start()
    with Home(made.home) as home:
        (run,) = typed("runs", "--home", made.home, "--json").json
        assert whole_run(home, run["run"]).engine == "flower-app"
    report = made.study.parent / "report.html"
    assert typed("report", run["run"], "--home", made.home, "-o", report).code == 0
    assert "This is what left each site." in report.read_text(encoding="utf-8")


class TestSimulated:
    """Nodes that know their number only, as those of Flower's own simulation do."""

    def test_shares_of_a_table_that_came_along_give_the_models_of_one_process(
        self, simulated: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = simulated(more=f'baselines = ["centralised", "local-only"]\n{CLEAR}')
        caplog.set_level("INFO", logger="flwr")
        made.start()
        assert sorted(over_flower(made), key=str) == sorted(in_process(made.study), key=str)
        assert "the models are those of the study, to the bit" in caplog.text

    def test_secure_sums_too(self, simulated: Make) -> None:
        made = simulated()
        made.start()
        assert over_flower(made) == in_process(made.study)
        asked = [from_bytes(brought(one)) for _, one, _ in made.grid.heard[3:]]
        assert {one.task for one in asked if isinstance(one, Request)} >= {"train", "unmask"}

    def test_a_site_that_was_left_out_by_hand_leaves_at_the_same_round(
        self, simulated: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = simulated(left="site-02")
        server = (made.app / "server_app.py").read_text(encoding="utf-8")
        assert 'LEFT_OUT = {\n    ("base", 0): {"site-02": 2},\n}\n' in server
        assert "`LEFT_OUT` in `server_app.py` says" in (made.app / "README.md").read_text(encoding="utf-8")
        caplog.set_level("INFO", logger="flwr")
        made.start()
        assert "the models are those of the study, to the bit" in caplog.text
        asked = [one for _, sent, _ in made.grid.heard[4:] if isinstance(one := from_bytes(brought(sent)), Request)]
        assert {one.round for one in asked if one.site == "site-02" and one.task == "train"} == {1}
        for words in (("check", "--select", "ALL", "--ignore", "INP001,D203,D213,I001,CPY001"), ("format", "--check")):
            command = (sys.executable, "-m", "ruff", *words, "--isolated", "--line-length", "120", str(made.app))
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout

    def test_another_model_than_before_fails_the_run(self, simulated: Make) -> None:
        made = simulated(models={("base", 0): "0" * 64})
        with pytest.raises(DataError, match="another one than before"):
            made.start()

    @pytest.mark.parametrize("config", [{"partition-id": 0, "num-partitions": 2}, {"partition-id": 7}])
    def test_as_many_nodes_as_sites(self, config: dict[str, int], simulated: Make) -> None:
        made = simulated()
        made.grid.nodes[10].config = config
        with pytest.raises(EngineError, match="num-supernodes=3"):
            made.start()

    def test_no_file_of_this_machine_is_read(self, simulated: Make) -> None:
        made = simulated()
        study = made.app / "study.toml"
        text = study.read_text(encoding="utf-8")
        study.write_text(text.replace('bundled = "breast-cancer"', 'table = "/etc/passwd"'), encoding="utf-8")
        with pytest.raises(PlanError, match="deals one table out"):
            made.start()
        with pytest.raises(EngineError, match="no table but those that came along"):
            engine.Reception(made.grid, made.configs).wait(0)

    def test_the_archive_is_the_same_bytes_each_time(self, simulated: Make) -> None:
        app = simulated().written
        assert packed(app) == packed(app)
        with ZipFile(BytesIO(packed(app))) as archive:
            assert sorted(archive.namelist()) == sorted(
                f"medfl-tumours/{name}"
                for name in ("pyproject.toml", "server_app.py", "client_app.py", "README.md", "study.toml")
            )

    def test_its_code_is_formatted(self, simulated: Make) -> None:
        app = simulated(models={("base", 0): "ab" * 32}).app
        done = subprocess.run(
            (sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "120", str(app)),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        ("more", "complaint"),
        [
            (
                'test_ids = { site-01 = "ids.csv", site-02 = "ids2.csv", site-03 = "ids3.csv" }\nid_column = "x"\n',
                "list of test patients",
            ),
            ('[[arm]]\nname = "a"\n[[arm]]\nname = "b"\ndata = { simulate = { sites = 2 } }\n', "deal the table out"),
        ],
    )
    def test_what_takes_more_than_one_dealing_is_refused(self, more: str, complaint: str, simulated: Make) -> None:
        with pytest.raises(PlanError, match=complaint):
            simulated(more=more)

    def test_other_sites_than_those_it_is_dealt_to(self, simulated: Make) -> None:
        made = simulated()
        with pytest.raises(PlanError, match="to other sites"):
            write(made.study, made.app.with_name("other"), sites=("a", "b", "c"))
