"""Who is answered: the rules of a written policy that look at what is asked, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from medfl.errors import listed
from medfl.messages import Request
from medfl.privacy.budget import DELTA as LARGEST_DELTA
from medfl.site.policy import Facts, Verdict
from medfl.site.rules import ANY, Rules
from medfl.spec.data import Data
from medfl.spec.harmonising import name_there
from medfl.spec.study import Study

Site: TypeAlias = str | None
"""A site's name in the study, where it is known."""
SHORTEST_DIGEST = 12
"""Digits of a digest that name a study, at least."""


def of_study(rules: Rules, study: Study, *, site: str | None = None) -> Iterator[Verdict]:
    """Yield what each rule says of a study, as far as it can be said without its tables; the noes have a remedy.

    Parameters
    ----------
    rules, study
        The policy, and what is asked.
    site
        The site's name in the study; where it is not known, names that any site has otherwise are not looked at.
    """
    for rule in _OF_STUDY:
        yield rule(rules, study, site)


def of_request(rules: Rules, request: Request, study: Study, facts: Facts) -> Iterator[Verdict]:
    """Yield what each rule says of a request; the last one opens the table."""
    yield from of_study(rules, study, site=request.site)
    yield _round(rules, request, study)
    yield _agreed_columns(rules, request, study)
    yield _rows(rules, facts)


def _study(rules: Rules, study: Study, _: Site) -> Verdict:
    allowed, name = rules.accepts.studies, study.study.name
    if allowed == ANY:
        return Verdict(True, "accepts.studies", "every study is accepted")
    digest = "" if name in allowed else study.digest
    if not digest or any(len(one) >= SHORTEST_DIGEST and digest.startswith(one) for one in allowed):
        return Verdict(True, "accepts.studies", f"the study {name} is accepted")
    return Verdict(
        False,
        "accepts.studies",
        f"the study {name} is not accepted",
        f'add "{name}", or its digest "{digest[:SHORTEST_DIGEST]}", to studies in [accepts]',
    )


def _model(rules: Rules, study: Study, _: Site) -> Verdict:
    return _kind("accepts.models", "models", rules.accepts.models, study.model.kind)


def _algorithm(rules: Rules, study: Study, _: Site) -> Verdict:
    return _kind("accepts.algorithms", "aggregation rules", rules.accepts.algorithms, study.algorithm.kind)


def _kind(rule: str, what: str, allowed: tuple[str, ...] | str, asked: str) -> Verdict:
    if allowed == ANY or asked in allowed:
        return Verdict(True, rule, f"{what} of kind {asked} are accepted")
    return Verdict(
        False,
        rule,
        f"{what} of kind {asked} are not accepted",
        f'add "{asked}" to {rule.partition(".")[2]} in [accepts], or choose one of: {listed(allowed, 20)}',
    )


def _rounds(rules: Rules, study: Study, _: Site) -> Verdict:
    asked, most = study.algorithm.rounds, rules.accepts.maximum_rounds
    return Verdict(
        asked <= most,
        "accepts.maximum_rounds",
        f"rounds asked for: {asked}; accepted: {most} at most",
        f"write rounds = {most} or fewer in the study, or raise maximum_rounds in [accepts]",
    )


def _columns(rules: Rules, study: Study, site: Site) -> Verdict:
    data, how, dp = study.data, study.evaluation, study.privacy.dp
    asked = [data.target, *(data.features or ()), *data.categorical]
    asked += [one.column for one in (how.subgroups or {}).values()]
    asked += [how.id_column] if how.id_column is not None else []
    asked += [dp.patient_id] if dp is not None and dp.patient_id is not None else []
    return _known(rules, there(study.data, asked, site))


def there(data: Data, names: Iterable[str], site: Site) -> list[str]:
    """Return what columns of a study are called at a site, and what else it would have read there.

    Where the site's name is not known, those that any site has under another name are left out.
    """
    if site is None:
        unsure = {name for table in (data.harmonise or {}).values() for name in table.columns}
        return [name for name in names if name not in unsure]
    columns = data.translations(site)
    return list(dict.fromkeys(name_there(columns, name) for name in (*names, *columns)))


def _harmonise(rules: Rules, study: Study, site: Site) -> Verdict:
    asked = study.data.harmonise if site is None else study.data.translations(site)
    return Verdict(
        rules.accepts.harmonise or not asked,
        "accepts.harmonise",
        "the study has columns read otherwise than they are" if asked else "columns are read as they are",
        "write harmonise = true in [accepts], or leave the site out of [data.harmonise]",
    )


def _known(rules: Rules, asked: list[str]) -> Verdict:
    allowed = rules.accepts.columns
    foreign = [name for name in dict.fromkeys(asked) if allowed != ANY and name not in allowed]
    if not foreign:
        return Verdict(True, "accepts.columns", "the study names no column that it may not know of")
    # The columns are the study's own words: nothing is said of what the table has.
    return Verdict(
        False,
        "accepts.columns",
        f"the study asks for columns that it may not know of: {listed(map(repr, foreign), 12)}",
        "add them to columns in [accepts], or leave them out of the study",
    )


def _test_lists(rules: Rules, study: Study, _: Site) -> Verdict:
    asked = study.evaluation.test_ids is not None
    return Verdict(
        rules.accepts.test_lists or not asked,
        "accepts.test_lists",
        "the study names a list of test patients at this site" if asked else "no list of test patients is named",
        "write test_lists = true in [accepts], or split by test_fraction in the study",
    )


def _patients(rules: Rules, study: Study, site: Site) -> Verdict:
    """Refuse units that the study has made up: how many rows and units there are of each counts as known."""
    dp = study.privacy.dp
    if dp is None or dp.patient_id is None:
        return Verdict(True, "accepts.patient_id", "the study protects no patients of several rows")
    column = name_there({} if site is None else study.data.translations(site), dp.patient_id)
    return Verdict(
        column == rules.accepts.patient_id,
        "accepts.patient_id",
        f"patients are told apart by {column!r}, and that is for the site's owner to say",
        f'write patient_id = "{column}" in [accepts] if it tells patients apart and nothing else of them',
    )


def _smallest_group(rules: Rules, study: Study, _: Site) -> Verdict:
    least, asked = rules.counts.minimum, study.evaluation.fewest
    if study.evaluation.subgroups is None:
        return Verdict(True, "counts.minimum", "no groups of patients are asked for")
    return Verdict(
        asked >= least,
        "counts.minimum",
        f"groups from {asked} patients on are asked for, and counts from {least} on may be told",
        f"write smallest_group = {least} or more in [evaluation]",
    )


def _statistics(rules: Rules, study: Study, _: Site) -> Verdict:
    """Refuse before any work what would be refused after it."""
    missing = [name for name in ("sums", "update") if name not in rules.releases.statistics]
    if missing:
        return Verdict(
            False,
            "releases.statistics",
            f"a study needs {listed(map(repr, missing))}, which may not leave",
            "name them in statistics in [releases]",
        )
    optional = ["evaluation", *(["subgroups"] if study.evaluation.subgroups else [])]
    optional += ["importance"] if study.evaluation.importance else []
    withheld = [name for name in optional if name not in rules.releases.statistics]
    reason = f"withheld, and told as zero: {listed(withheld)}" if withheld else "all that the study needs may leave"
    return Verdict(True, "releases.statistics", reason)


def _ranges(rules: Rules, study: Study, _: Site) -> Verdict:
    if rules.releases.ranges != "withheld":
        return Verdict(True, "releases.ranges", f"ranges of columns leave: {rules.releases.ranges}")
    if study.privacy.dp is not None:
        return Verdict(True, "releases.ranges", "ranges of columns leave only where the study declares them")
    return Verdict(
        False,
        "releases.ranges",
        "the sites cannot agree on columns without their ranges, which may not leave",
        'write ranges = "rounded" in [releases]',
    )


def _details(rules: Rules, study: Study, _: Site) -> Verdict:
    if "rows" in rules.releases.details:
        return Verdict(True, "releases.details", "the number of rows may leave")
    return Verdict(
        False,
        "releases.details",
        "no study works without the number of rows, which may not leave",
        'name "rows" in details in [releases]',
    )


def _secure(rules: Rules, study: Study, _: Site) -> Verdict:
    refused = rules.requires.secure_aggregation and study.privacy.secure_aggregation is False
    needed = "must be" if rules.requires.secure_aggregation else "need not be"
    return Verdict(
        not refused,
        "requires.secure_aggregation",
        f"sums {needed} hidden in the total over sites" + (", and the study hides none" if refused else ""),
        "leave secure_aggregation out of the study or set it to true",
    )


def _epsilon(rules: Rules, study: Study, _: Site) -> Verdict:
    required, rule, asked = rules.requires.epsilon, "requires.epsilon", study.privacy.dp
    if required is None:
        return Verdict(True, rule, "a study need not be differentially private")
    most = {unit: value for unit, value in required.model_dump().items() if value is not None}
    said = f"{listed([f'{value:g} a {unit}' for unit, value in most.items()])} and a δ of {rules.requires.delta:g}"
    remedy = f"write [privacy.dp] in the study, with an ε of at most {said}"
    if asked is None:
        reason = f"the study is not differentially private, and must be with an ε of at most {said}"
        return Verdict(False, rule, reason, remedy)
    if asked.at_hub:
        reason = "the hub would add the noise, so that this site's protection would rest on the hub"
        return Verdict(False, rule, reason, 'write noise = "distributed" in [privacy.dp], with secure aggregation')
    unit, epsilon, delta = asked.unit, asked.epsilon, LARGEST_DELTA if asked.delta is None else asked.delta
    return Verdict(
        unit in most and epsilon <= most[unit] and delta <= rules.requires.delta,
        rule,
        f"the study asks for ε = {epsilon:g} a {unit} and δ = {delta:g}, and accepted is an ε of at most {said}",
        remedy,
    )


_OF_STUDY: tuple[Callable[[Rules, Study, Site], Verdict], ...] = (
    _study,
    _model,
    _algorithm,
    _rounds,
    _columns,
    _harmonise,
    _test_lists,
    _patients,
    _smallest_group,
    _statistics,
    _ranges,
    _details,
    _secure,
    _epsilon,
)


def _round(rules: Rules, request: Request, study: Study) -> Verdict:
    most = min(rules.accepts.maximum_rounds, study.algorithm.rounds)
    return Verdict(
        request.round <= most,
        "accepts.maximum_rounds",
        f"round {request.round} is asked for, and there are {most}",
        "ask for no more rounds than the study and the site's policy have",
    )


def _agreed_columns(rules: Rules, request: Request, study: Study) -> Verdict:
    """Look at the columns that the hub says the sites agreed on: it may say anything."""
    agreement = request.content.get("agreement")
    if not isinstance(agreement, dict):
        return Verdict(True, "accepts.columns", "no columns are agreed on yet")
    features = agreement.get("features")
    every = features if isinstance(features, list) else []
    named = [one.get("name") if isinstance(one, dict) else one for one in every]
    asked = [str(name) for name in (*named, agreement.get("target"))]
    return _known(rules, there(study.data, asked, request.site))


def _rows(rules: Rules, facts: Facts) -> Verdict:
    least = rules.accepts.minimum_rows
    return Verdict(
        len(facts.prints()) >= least,
        "accepts.minimum_rows",
        f"the site takes part from {least} rows on, and has fewer",
        "ask the site to lower minimum_rows in [accepts], or leave it out of the study",
    )
