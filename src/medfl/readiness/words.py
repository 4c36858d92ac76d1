"""Which name, and which code, was probably meant: by how it is spelled and by what usually stands for the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

NAMES = (
    frozenset({"sex", "gender", "sexe", "geschlecht"}),
    frozenset({"age", "ageyears", "ageatadmission", "agey"}),
    frozenset({"bmi", "bodymassindex", "imc"}),
    frozenset(
        {"glucose", "glu", "bloodglucose", "bloodglucoselevel", "glycemia", "glycaemia", "glycemie", "glicemia", "fbg"}
    ),
    frozenset({"hba1c", "a1c", "hba1clevel", "glycatedhemoglobin", "glycatedhaemoglobin"}),
    frozenset({"cholesterol", "chol", "totalcholesterol"}),
    frozenset({"sbp", "systolic", "systolicbp", "systolicbloodpressure", "trestbps", "pas"}),
    frozenset({"dbp", "diastolic", "diastolicbp", "diastolicbloodpressure", "pad"}),
    frozenset({"hypertension", "htn", "highbloodpressure", "hta"}),
    frozenset({"smoking", "smoker", "smokinghistory", "smokingstatus", "tobacco", "tabac"}),
    frozenset({"creatinine", "creat", "crea", "serumcreatinine"}),
    frozenset({"weight", "wt", "bodyweight", "poids"}),
    frozenset({"height", "ht", "bodyheight", "taille"}),
    frozenset({"heartrate", "hr", "pulse", "fc"}),
    frozenset({"temperature", "temp", "bodytemperature"}),
    frozenset({"diabetes", "dm", "diabetic", "diabete"}),
)
"""Plain spellings of what is one column."""
CODES = (
    frozenset({"m", "male", "man", "homme", "masculin", "h"}),
    frozenset({"f", "female", "woman", "femme", "feminin", "w"}),
    frozenset({"y", "yes", "true", "t", "oui", "1", "positive", "pos", "present"}),
    frozenset({"n", "no", "false", "non", "0", "negative", "neg", "absent"}),
    frozenset({"never", "neversmoker", "nonsmoker"}),
    frozenset({"former", "exsmoker", "ex", "formersmoker", "past"}),
    frozenset({"current", "currentsmoker", "smoker", "active"}),
)
"""Plain spellings of what is one code."""
ISO_5218 = (("1", CODES[0]), ("2", CODES[1]))
"""The codes of ISO/IEC 5218 for sexes; they are meant where a column is called so."""


def meant_name(name: str, candidates: Sequence[str]) -> str:
    """Return the column that was probably meant by a name; empty where none comes near."""
    plain = {_plain(one): one for one in reversed(candidates)}
    own = _plain(name)
    if own in plain:
        return plain[own]
    alike = next((group for group in NAMES if own in group), frozenset({own}))
    for spelled, one in plain.items():
        if spelled in alike:
            return one
    starts = [one for spelled, one in plain.items() if any(_begin_alike(spelled, word) for word in alike)]
    if len(starts) == 1:
        return starts[0]
    close = get_close_matches(own, plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else ""


def meant_codes(name: str, there: Iterable[str], here: Sequence[str], meanings: Mapping[str, str]) -> dict[str, str]:
    """Return what codes there stand for here, as far as it can be guessed; codes that are known here are left out.

    Parameters
    ----------
    name
        The column.
    there, here
        Codes of the site, and those that the others have.
    meanings
        What the site's data dictionary says of its codes.
    """
    codes = tuple(there)
    # Where sexes are 0 and 1, nobody but the site knows which is which.
    is_sex = _plain(name) in NAMES[0] and "0" not in {*codes, *here}
    found = {code: _meant(meanings.get(code, code), here, is_sex=is_sex) for code in codes if code not in here}
    return {code: text for code, text in found.items() if text}


def _meant(code: str, here: Sequence[str], *, is_sex: bool) -> str:
    own = _plain(code)
    for one in here:
        if _plain(one) == own:
            return one
    groups = [group for group in CODES if own in group]
    if is_sex:
        groups = [group for number, group in ISO_5218 if number == own] or groups
        groups += [frozenset({number}) for number, group in ISO_5218 if own in group]
    alike = [one for one in here if any(_plain(one) in group for group in groups)]
    if len(alike) == 1:
        return alike[0]
    begins = [one for one in here if own.isalpha() and _begin_alike(_plain(one), own, least=1)]
    return begins[0] if len(begins) == 1 and not alike else ""


def _begin_alike(one: str, other: str, *, least: int = 3) -> bool:
    return min(len(one), len(other)) >= least and (one.startswith(other) or other.startswith(one))


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold().replace("é", "e").replace("è", "e"))
