"""Finished sentences are found in a catalogue, with what varies in them, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from medfl.hub.pages.catalogue import catalogue
from medfl.hub.pages.sentences import Sentences
from medfl.hub.pages.starters import starting_text
from medfl.inspection import inspect
from medfl.run.explain import explain
from medfl.run.plan import compile
from medfl.spec.reading import data_of, findings, parse
from medfl.store.comparison import NOT_ALIKE
from medfl.testing.pages import STUDY

TEXTS = {
    "Compared with {say_what}.": "Comparé avec {say_what}.",
    "each site alone": "chaque site seul",
    "{site}: {n1} rows, {n2} more.": "{site} : {n2} de plus que {n1} lignes.",
    "Of {range} it is sure.": "Sûr de {range}.",
    "The {count} sites agree.": "Les {count} sites sont d’accord.",
    "Column {name}.": "Colonne {name}.",
    "Accuracy": "Exactitude",
    "It has {say_metric}.": "Elle a : {say_metric}.",
    "the repeats are equal": "toutes égales",
}


@pytest.fixture
def french() -> Sentences:
    return Sentences(
        TEXTS,
        figures=lambda text: text.replace(".", ","),
        count={"four": "quatre"}.get,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("english", "words"),
    [
        ("Compared with each site alone.", "Comparé avec chaque site seul."),
        ("Each site alone", "Chaque site seul"),
        ("mayo: 1.5 rows, 2 more.", "mayo : 2 de plus que 1,5 lignes."),
        ("Of 0.9 (0.8–1.0) it is sure.", "Sûr de 0,9 (0,8–1,0)."),
        ("Of 0.9 (the repeats are equal) it is sure.", "Sûr de 0,9 (toutes égales)."),
        ("The four sites agree.", "Les quatre sites sont d’accord."),
        ("Column v1.2.", "Colonne v1.2."),
        ("It has accuracy.", "Elle a : exactitude."),
        ("Column a. Column b.", "Colonne a. Colonne b."),
    ],
)
def test_a_sentence_is_found_with_what_varies(english: str, words: str, french: Sentences) -> None:
    assert " ".join(text for text, _ in french.pieces(english)) == words
    assert all(known for _, known in french.pieces(english))


TOGETHER = "Together, the three sites reach an AUC of {}, measured on 171 test rows that were kept out of training"
INTERVAL = "; in parentheses the 95 % interval"
SOME = "; in some repeats without north (2 of 3 repeats) and south"


@pytest.mark.parametrize(
    ("english", "words"),
    [
        (f"{TOGETHER.format('0.99 (0.98 to 1)')}{INTERVAL}{SOME}.", "sans north (répétitions : 2 sur 3) et south."),
        (f"{TOGETHER.format('0.99')}{SOME}.", "dans certaines répétitions, sans north"),
        (f"{TOGETHER.format('0.99 (0.98 to 1) with a and 0.9 (0.8 to 1) with b')}{INTERVAL}{SOME}.", "avec a et 0,9"),
        (f"{TOGETHER.format('between 0.8 (0.7 to 1) with a and 0.9 (0.8 to 1) with b')}{INTERVAL}.", "entre 0,8"),
        (f"{TOGETHER.format('between 0.8 (0.7 to 1) with a and 0.9 (0.8 to 1) with b')}{INTERVAL}{SOME}.", "entre 0,8"),
        (
            "all test rows in one count; alone and fedyogi without north and south",
            "seul et fedyogi sans north et south",
        ),
        ("Waits for north and south. It is taken up again by itself once they are back.", "north et south"),
        (f"Not compared: alone with a and alone with b; {NOT_ALIKE}.", "seul avec a et seul avec b"),
    ],
)
def test_lists_within_a_sentence_are_french_too(english: str, words: str) -> None:
    ((told, known),) = catalogue("fr").sentences.pieces(english)
    assert known
    assert words in told.replace("\u00a0", " ")
    assert not {"and", "alone", "with", "without", "to", "between", "repeats"} & set(told.split())


@pytest.mark.parametrize(
    "text",
    ["Compared with the moon.", "mayo: many rows, 2 more.", "Of course it is sure.", "", "Compared with .", "{n1}"],
)
def test_what_is_no_sentence_of_ours_stays_as_it_is(text: str, french: Sentences) -> None:
    assert french.pieces(text) == [(text, False)]


def test_what_is_known_of_two_sentences_is_said(french: Sentences) -> None:
    assert french.pieces("Nobody knows this. The four sites agree.") == [
        ("Nobody knows this.", False),
        ("Les quatre sites sont d’accord.", True),
    ]


@pytest.mark.parametrize("name", ["breast-cancer", "breast-cancer-arms", "digits"])
def test_all_that_an_example_would_do_is_said_in_french(name: str) -> None:
    study, french = parse(starting_text(name), source="study.toml"), catalogue("fr").sentences
    for section in (*inspect(study).sections, *explain(study, compile(study))):
        for text in (section.title, *section.sentences):
            assert all(known for _, known in french.pieces(text)), text


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("rounds = 0", "rounds doit être un nombre entier de 1 à"),
        ('rounds = 2\nmu = "a"', "mu n’est pas un paramètre de fedavg"),
    ],
)
def test_what_is_wrong_with_a_study_is_said_in_french(broken: str, words: str) -> None:
    _, found = findings(data_of(STUDY.replace("rounds = 2", broken), "study.toml"))
    french = catalogue("fr").sentences
    (told,) = [one for one in found if one.path[0] == "algorithm"]
    assert words in " ".join(text for text, _ in french.pieces(told.what))
    assert all(known for _, known in french.pieces(f"{told.what} → {told.remedy}"))
