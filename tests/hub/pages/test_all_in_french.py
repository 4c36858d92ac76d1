"""Every page of one person in French, over executions and drafts in every state: none of it is half in English."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sklearn.datasets import load_breast_cancer
from starlette.types import ASGIApp

from medfl.hub.pages.application import application
from medfl.hub.pages.bench import Bench, Told
from medfl.hub.pages.catalogue import catalogue
from medfl.hub.pages.shelf import Everything
from medfl.hub.people.permits import HERE
from medfl.inspection import inspect
from medfl.local_tables import LocalTables
from medfl.publish.sheets import KINDS
from medfl.run.explain import explain
from medfl.run.plan import compile
from medfl.spec.study import Study
from medfl.steering import Steering
from medfl.store.home import Home
from medfl.testing.all_states import PRIVATE, RUNNING, STUDY, store
from medfl.testing.pages import Carriers
from medfl.testing.spoken import Saying, foreign, sayings, words_of_language, words_of_one_only
from medfl.testing.visits import OPEN_DOOR, Visit, asked

FRENCH = {"Accept-Language": "fr"}
NAMES = (
    *map(str, load_breast_cancer().feature_names),
    *(f"row {row} point {point}" for row in range(1, 9) for point in range(1, 9)),
    *KINDS,
    *(
        "age",
        "Age",
        "no et yes",
        "compared",
        "groups",
        "malignant",
        "breast-cancer-arms",
        "breast-cancer",
        "DELETE",
        "GET",
    ),
)
"""What has a name of its own: columns of the tables that came along, files, methods."""
TABLES = {
    "nord.csv": "taille,sexe,poids,malade\n" + "\n".join(f"{30 + n},f,{60 + n},{n % 2}" for n in range(40)),
    "sud.csv": "TAILLE,sexe,malade\n" + "\n".join(f"{12 * (30 + n)},{n % 2 + 1},{n % 2}" for n in range(40)),
    "ouest.csv": "taille,sexe,poids,malade\n" + "\n".join(f"{'' if n % 3 else 30 + n},m,lourd,oui" for n in range(40)),
}
SITES = '[data.sites]\nnord = "nord.csv"\nsud = "sud.csv"\nouest = "ouest.csv"\n'
SPOILT = {
    "casse.xlsx": b"rien",
    "trop.csv": b"a,malade\n1,0\n1,0,3\n",
    "double.csv": b"a,a,malade\n1,2,0\n",
    "vide.csv": b"",
    "texte.csv": b"a,malade\n" + b"1,0\n2,1\nlourd,1\n3,0\n",
}
TEXT = '[study]\nname = "x"\n[data]\ntarget = "malade"\npositive = "1"\nsites = { nord = "FOLDER/texte.csv" }\n'
UNREADABLE = "[data.sites]\n" + "".join(f'site{n} = "{name}"\n' for n, name in enumerate(SPOILT))
WRONG = """
[study]
name = "un nom"
repeats = 0
seed = -1
couleur = "rouge"
[data]
target = 3
positive = 4
outcome = "binaire"
sites = { nord = "absent.csv" }
[data.simulate]
bundled = "sein"
sites = 0
partition = { kind = "dirichlet", alpha = -1 }
[preprocess]
scale = "autre"
impute = "moyenne"
[model]
kind = "mlp"
hidden = [0, "a"]
activation = "sinus"
dropout = 2
[training]
learning_rate = "vite"
batch_size = 0
local_epochs = 1
local_steps = 1
[algorithm]
kind = "fedprox"
mu = -1
rounds = 0
[evaluation]
test_fraction = 2
baselines = ["aucune"]
threshold = "haut"
margin = 0
[privacy]
secure_aggregation = "oui"
[privacy.dp]
unit = "lit"
epsilon = 0
[[arm]]
name = "a"
[[arm]]
name = "a"
algorithm = { kind = "fedabc" }
"""
DRAFTS = {
    "vide": "",
    "en-tete": "[study\nname = 3",
    "guillemet": 'a = "b\n',
    "deux fois": "[study]\nname = 'a'\nname = 'b'\n",
    "types": "study = 3\ndata = 4\narm = 5\n",
    "faux": WRONG,
    "sans etendues": PRIVATE.partition("[privacy.dp.ranges]")[0],
    "shapley": STUDY.replace("repeats = 2\n[data]", "[data]").replace(
        'kind = "leave-one-out"', 'kind = "shapley"\npermutations = 1'
    ),
    "nombre": f'[study]\nname = "r"\n[data]\ntarget = "x"\noutcome = "continu"\npositive = "oui"\n{SITES}',
    "tables": '[study]\nname = "t"\nquestion = "Qui ?"\n[data]\ntarget = "malade"\npositive = "1"\n'
    f'features = ["taille", "sexe", "poids"]\n[data.units]\ntaille = "cm"\n{SITES}est = "absent.csv"\n'
    '[data.harmonise.sud.columns.taille]\ncalled = "TAILLE"\nfactor = 0.0833\n',
    "illisibles": f'[study]\nname = "i"\n[data]\ntarget = "malade"\npositive = "1"\n{UNREADABLE}',
    "bras": STUDY,
    "bruit": PRIVATE,
}


def test_no_page_of_one_person_is_half_in_english(tmp_path: Path) -> None:
    words = words_of_one_only(said_in("fr"))
    wrong: dict[str, str] = {}
    pages = 0
    for what, html in told(tmp_path):
        pages += 1
        for one in sayings(html, language="fr"):
            if (one.language == "en" and one.text != "English") or english(one, words):
                wrong[one.text] = what
    assert not wrong
    assert pages > 100


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<p>Le site is here</p>", ["is", "here"]),
        ('<p aria-label="the site">Le site</p>', ["the"]),
        ('<p><code>the site</code> <b translate="no">the</b> le site, "the site" et the-site</p>', []),
        ("<option>the</option><br><p>le <i>site</i> of the</p>", ["the", "of", "the"]),
    ],
)
def test_english_is_found_wherever_it_stands(html: str, found: list[str]) -> None:
    words = words_of_one_only(said_in("fr"))
    assert [word for one in sayings(html, language="fr") for word in english(one, words)] == found


def said_in(language: str) -> dict[str, str]:
    """Return all that the catalogue of a language has words for."""
    known = catalogue(language)
    return {**known.texts, **{one: forms[-1] for one, forms in known.plurals.items()}}


def english(one: Saying, words: frozenset[str]) -> list[str]:
    """Return the English words in what is said in French; the study language's own are code."""
    return [word for word in foreign(one.text, words, names=NAMES) if word not in words_of_language()]


def told(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what the pages say, by what was asked."""
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    for name, body in SPOILT.items():
        (folder / name).write_bytes(body)
    visit = Visit()
    visit.who = HERE
    with Home(folder / "empty") as empty, store(folder / "home") as home, home.lock(f"{RUNNING}-1"):
        bench = Bench(
            home,
            read,
            looked,
            Carriers(home),
            home.is_busy,
            sees=LocalTables(folder),
            uploads=folder / "tables",
            steers=Steering(home),
        )
        yield "empty", got(application(replace(bench, home=empty), visit.access, OPEN_DOOR), "/")
        app = application(bench, visit.access, OPEN_DOOR)
        Steering(home).drop(RUNNING, "hospital-04", by="anne", why="déplacé")
        for path in paths(list(dict.fromkeys(run.execution for run in Everything(home)()))):
            yield path, got(app, path)
        yield from told_of_drafts(app, folder)
        yield from refused(app)


def read(study: Study) -> list[Told]:
    return [Told(one.title, tuple(one.sentences)) for one in explain(study, compile(study))]


def looked(study: Study) -> list[Told]:
    return [Told(one.title, tuple(one.sentences)) for one in inspect(study).sections] + read(study)


def paths(executions: list[str]) -> Iterator[str]:
    """Yield the addresses of all pages, and of some that there are not."""
    yield from ("/", "/new", "/start/breast-cancer-arms", "/start/digits", "/start/rien")
    yield from ("/ailleurs", "/studies/rien/watch", "/drafts/rien", "/language")
    for execution in executions:
        yield from (
            f"/studies/{execution}/{page}" for page in ("watch", "results", "code", "events", "drop", "report.html")
        )
        yield from (f"/studies/{execution}/drop?site={site}" for site in ("hospital-01", "nord"))
    last = executions[-1]
    yield from (f"/studies/{last}/{page}" for page in ("files/rien", "figures/rien.svg", "tables/rien.csv"))
    yield from (f"/studies/{RUNNING}/events?page=0", "/studies/f0000005/bundle.zip")


def told_of_drafts(app: ASGIApp, folder: Path) -> Iterator[tuple[str, str]]:
    own = {"a nous": (folder / "home" / "a-nous.toml").read_text(), "texte": TEXT}
    for name, text in [*DRAFTS.items(), *((name, text.replace("FOLDER", str(folder))) for name, text in own.items())]:
        place = posted(app, "/drafts", text=text).headers["location"]
        yield f"draft {name}", got(app, place)
        yield f"look {name}", posted(app, f"{place}/look").text
        for key, value in (("training.learning_rate", "1,000"), ("study.repeats", "zwei")):
            yield f"set {name}", posted(app, f"{place}/set", path=key, value=value, revision="1").text
    yield "stale", posted(app, f"{place}/set", path="study.name", value="b", revision="0", by="x").text
    yield "repair", posted(app, f"{place}/repair", revision="3", site="x", column="y").text
    files = {"table": ("a.txt", b"a\n1\n")}
    sent = {"csrf": "token", "revision": "1"}
    yield "upload", asked(app, "POST", f"{place}/upload", headers=FRENCH, data=sent, files=files).text
    yield "launch", posted(app, "/studies", text=WRONG).text


def refused(app: ASGIApp) -> Iterator[tuple[str, str]]:
    yield "code", posted(app, "/drafts", text="import os\nprint(1)\n").text
    yield "like", posted(app, "/drafts", like="rien").text
    yield "pause", posted(app, "/studies/f0000001/pause").text
    yield "drop", posted(app, "/studies/f0000001/drop", site="rien").text
    yield "422", posted(app, "/drafts/a/set").text
    yield "no token", asked(app, "POST", "/studies", headers=FRENCH, data={"csrf": "x"}).text
    yield "method", asked(app, "DELETE", "/", headers=FRENCH).text


def got(app: ASGIApp, path: str) -> str:
    return asked(app, "GET", path, headers=FRENCH).text


def posted(app: ASGIApp, place: str, **words: str) -> httpx.Response:
    return asked(app, "POST", place, headers=FRENCH, data={"csrf": "token", **words})
