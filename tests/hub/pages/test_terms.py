"""Each technical term is explained where it is used, in one sentence."""

from __future__ import annotations

import re

import pytest

from medfl.hub.pages.terms import Term, terms, terms_in
from medfl.testing.pages import STUDY, Visitor


@pytest.mark.parametrize("term", terms(), ids=lambda term: term.key)
def test_a_term_is_explained_in_one_sentence_and_finds_itself(term: Term) -> None:
    assert re.fullmatch(r"[A-Z].+[^.]\.", term.meaning)
    assert ". " not in term.meaning
    assert len(term.meaning) < 180
    assert term in terms_in([f"All about {term.name}, and more."])
    assert re.fullmatch("[a-z-]+", term.key)


def test_terms_are_found_as_words_whatever_their_case() -> None:
    assert [one.key for one in terms_in(["Secure Aggregation hides it.", "Two epochs of it."])] == [
        "epoch",
        "secure-aggregation",
    ]
    assert not terms_in(["The harms of campsites around epochal batchelors."])


def test_a_page_explains_the_terms_that_it_uses(visitor: Visitor) -> None:
    study = f"/studies/{visitor.execution}"
    draft = visitor.client.post("/drafts", data={"csrf": visitor.token, "text": STUDY}).url.path
    for path in (draft, f"{study}/results", f"{study}/watch"):
        page = visitor.client.get(path).text
        buttons = re.findall(r'<button type="button" class="term" popovertarget="([^"]+)"', page)
        assert len(buttons) >= 3
        assert len(buttons) == len(set(buttons))
        for target in buttons:
            assert f'<span popover class="meaning" id="{target}"><dfn>' in page
