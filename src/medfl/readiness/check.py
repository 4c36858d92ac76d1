"""Where the sites' tables do not fit a study or each other: what was expected, what is there, what would repair it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from medfl.errors import listed
from medfl.readiness.classes import of_classes
from medfl.readiness.gap import Gap
from medfl.readiness.repair import Repair
from medfl.readiness.spelled import alike
from medfl.readiness.tables import Seen, SeenTable
from medfl.readiness.units import between, by_range, same_unit
from medfl.readiness.words import meant_codes, meant_name
from medfl.spec.data import Data

MANY = 0.5
"""A column that more than this share of a site's rows lack is told."""
MORE = 0.2
"""So is one that a site lacks this much oftener than the others."""
_SHOWN = 6


def gaps(data: Data, tables: Mapping[str, SeenTable]) -> tuple[Gap, ...]:
    """Return all that does not fit, by site and column.

    Parameters
    ----------
    data
        What the study says of its tables.
    tables
        What is known of each site's table, as it is there.
    """
    read = {site: table.read_as(data.translations(site)) for site, table in sorted(tables.items())}
    found = [*_absent(data, read)]
    for name in _asked(data, read):
        seen = {site: table.columns[name] for site, table in read.items() if name in table.columns}
        found += _compared(data, name, seen, read)
        found += _spelled(name, seen, {gap.site for gap in found if gap.column == name})
    found += of_classes(data, read)
    return tuple(sorted(found, key=lambda gap: (gap.site, not gap.blocks)))


def _asked(data: Data, read: Mapping[str, SeenTable]) -> list[str]:
    """Return the columns that the study uses: the target first, then its features, or all that any site has."""
    features = data.features or tuple(name for table in read.values() for name in table.columns)
    return list(dict.fromkeys([*([data.target] if data.target else []), *features]))


def _absent(data: Data, read: Mapping[str, SeenTable]) -> Iterator[Gap]:
    """Find columns that a site lacks, with the one that is perhaps meant; and those that only some have."""
    everywhere = [name for name in _asked(data, read) if all(name in table.every for table in read.values())]
    for site, table in read.items():
        if not table.whole:
            continue
        for name in _asked(data, read):
            if name in table.every:
                continue
            others = [other for other, one in read.items() if name in one.every]
            if data.features is None and name != data.target and not _is_usual(others, read):
                continue
            spare = [one for one in table.every if one not in everywhere and one not in _asked_for(data)]
            yield _missing(data, site, name, spare, read)
    if data.features is None:
        yield from _extra(data, read)


def _is_usual(having: Sequence[str], read: Mapping[str, SeenTable]) -> bool:
    """Say whether a column is the study's: most sites have it, or half of them and the first of all is among these.

    Two sites that call one column differently would otherwise each be told to take the other's name, for ever.
    """
    return len(having) * 2 > len(read) or (len(having) * 2 == len(read) and next(iter(read)) in having)


def _asked_for(data: Data) -> set[str]:
    return {data.target, *(data.features or ())}


def _missing(data: Data, site: str, name: str, spare: Sequence[str], read: Mapping[str, SeenTable]) -> Gap:
    meant = meant_name(name, spare)
    repair = None
    # What no site has is a slip of the study; a repair is for a site that differs from the others.
    if meant and any(name in table.every for table in read.values()):
        repair = Repair(site=site, column=name, called=meant)
        there = read[site].columns.get(meant)
        peers = {other: table.columns[name] for other, table in read.items() if name in table.columns}
        if there is not None:
            repair = _with_the_rest(data, repair, there, peers)
    there_are = f"its columns are {listed(map(repr, read[site].every), 12)}"
    return Gap(
        site=site,
        column=name,
        kind="missing",
        expected=name,
        found=meant,
        says=f"{site} has no column {name!r}" + (f"; {meant!r} may be it" if meant else ""),
        remedy=f"did you mean {meant!r}?" if meant else f"{there_are}; say which it is, or learn without {name!r}",
        repair=repair,
        blocks=True,
    )


def _with_the_rest(data: Data, repair: Repair, there: Seen, peers: Mapping[str, Seen]) -> Repair:
    """Return a repair of a name with what else that column needs, compared with the other sites' as if it had it."""
    seen = {**peers, repair.site: there}
    for gap in _unlike(data, repair.column, seen):
        if gap.site == repair.site and gap.repair is not None:
            return Repair(
                site=repair.site,
                column=repair.column,
                called=repair.called,
                scale=gap.repair.scale,
                codes=gap.repair.codes,
            )
    return repair


def _extra(data: Data, read: Mapping[str, SeenTable]) -> Iterator[Gap]:
    """Find columns that fewer than half of the sites have, in a study that learns from all there are."""
    for site, table in read.items():
        for name in table.columns:
            having = [other for other, one in read.items() if name in one.every]
            if name != data.target and len(having) * 2 < len(read):
                yield Gap(
                    site=site,
                    column=name,
                    kind="extra",
                    expected="",
                    found=name,
                    says=f"only {listed(having)} {'has' if len(having) == 1 else 'have'} a column {name!r}",
                    remedy="name the columns to learn from in data.features",
                    blocks=True,
                )


def _compared(data: Data, name: str, seen: Mapping[str, Seen], read: Mapping[str, SeenTable]) -> Iterator[Gap]:
    for site, one in seen.items():
        if one.wrong:
            yield Gap(
                site=site,
                column=name,
                kind="unusable",
                expected="",
                found=one.wrong,
                says=f"{site} cannot use {name!r}: {one.wrong}",
                remedy="learn without it, or mend the table",
                blocks=True,
            )
    yield from _unlike(data, name, {site: one for site, one in seen.items() if not one.wrong})
    yield from _sparse(name, seen, read)


def _unlike(data: Data, name: str, seen: Mapping[str, Seen]) -> Iterator[Gap]:
    """Find sites whose column is of another kind, in another unit, with other codes or in another range."""
    known = {site: one for site, one in seen.items() if one.kind}
    is_coded = (
        name == data.target or name in data.categorical or any(one.kind == "categorical" for one in known.values())
    )
    if is_coded:
        yield from _codes(data, name, known)
        return
    differing = list(_units(data, name, known))
    yield from differing
    told = {gap.site for gap in differing}
    yield from _ranges(data, name, {site: one for site, one in known.items() if site not in told})


def _codes(data: Data, name: str, known: Mapping[str, Seen]) -> Iterator[Gap]:
    """Find sites with codes that no other has, or with numbers where the others have words."""
    usual = _usual_codes(known)
    kinds = {one.kind for one in known.values()}
    blocks = len(kinds) > 1 and name not in data.categorical
    main = max(kinds, key=lambda kind: (sum(one.kind == kind for one in known.values()), kind), default="")
    for site, one in known.items():
        foreign = [code for code in one.categories if code not in usual]
        odd_kind = blocks and one.kind != (main if not usual else _kind_of(usual, main))
        if not (foreign or odd_kind) or (not usual and not odd_kind):
            continue
        codes = meant_codes(name, one.categories, usual, one.meanings)
        if not (odd_kind or codes or len(foreign) == len(one.categories)):
            continue
        found = listed(map(repr, one.categories), _SHOWN) if one.categories else "numbers"
        expected = listed(map(repr, usual), _SHOWN) if usual else "numbers"
        there, here = (", ".join(codes[:_SHOWN]) for codes in (one.categories, usual))
        yield Gap(
            site=site,
            column=name,
            kind="type" if odd_kind else "categories",
            expected=here,
            found=there,
            says=f"{site} writes {name!r} as {found}, and {_others(site, known)} as {expected}",
            remedy="say what stands for each code there"
            if usual
            else f'list it in data.categorical if its numbers are codes: categorical = ["{name}"]',
            repair=Repair(site=site, column=name, codes=codes) if codes else None,
            blocks=odd_kind,
        )


def _spelled(name: str, seen: Mapping[str, Seen], told: Collection[str]) -> Iterator[Gap]:
    """Find sites that write one code in several ways; not where something else is told of the column there."""
    coded = {site: one for site, one in seen.items() if one.kind == "categorical" and not one.wrong}
    for site, ways, codes in alike(coded):
        if site not in told:
            yield Gap(
                site=site,
                column=name,
                kind="categories",
                expected=", ".join(dict.fromkeys(codes.values())),
                found=", ".join(ways[:_SHOWN]),
                says=f"{site} writes {name!r} as {listed(map(repr, ways), _SHOWN)}, which may be the same",
                remedy="say what stands for each code there",
                repair=Repair(site=site, column=name, codes=codes),
            )


def _others(site: str, known: Collection[str]) -> str:
    """Return the name of the only other site, or what many are called."""
    names = [other for other in known if other != site]
    return names[0] if len(names) == 1 else "the others"


def _kind_of(usual: Sequence[str], main: str) -> str:
    return "categorical" if not all(_is_number(code) for code in usual) else main


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).lstrip("+-").isdigit()


def _usual_codes(known: Mapping[str, Seen]) -> tuple[str, ...]:
    """Return the codes that most sites share; of as many, those that are words, then those of the first site."""
    sets = [one.categories for one in known.values() if one.categories]

    def weight(codes: tuple[str, ...]) -> tuple[int, float]:
        alike = sum(bool({*codes} & {*other}) for other in sets)
        return alike, sum(len(code) for code in codes if not _is_number(code)) / len(codes)

    best = max(sets, key=weight, default=())
    every = [code for codes in sets for code in codes]
    shared = [code for code in every if every.count(code) > 1]
    return tuple(dict.fromkeys([*best, *shared])) if len(known) > 1 else ()


def _units(data: Data, name: str, known: Mapping[str, Seen]) -> Iterator[Gap]:
    """Find sites whose unit is another than the study's or, where that says none, than most have."""
    units = {site: one.unit for site, one in known.items() if one.unit}
    usual = data.units.get(name) or max(units.values(), key=[*units.values()].count, default="")
    for site, unit in units.items():
        if same_unit(unit, usual):
            continue
        scale = between(name, unit, usual)
        by = "the study" if name in data.units else _others(site, units)
        yield Gap(
            site=site,
            column=name,
            kind="unit",
            expected=usual,
            found=unit,
            says=f"{site} has {name!r} in {unit}, and {by} in {usual}",
            remedy="say by which factor its numbers are multiplied",
            repair=None if scale is None else Repair(site=site, column=name, scale=scale),
            blocks=True,
        )


def _ranges(data: Data, name: str, known: Mapping[str, Seen]) -> Iterator[Gap]:
    """Find sites whose numbers are so much smaller or larger that they may be in another unit."""
    ends = {
        site: (one.minimum, one.maximum)
        for site, one in known.items()
        if one.minimum is not None and one.maximum is not None
    }
    if len(ends) < 2:
        return
    usual = _usual_range(ends)
    unit = data.units.get(name, "")
    for site, own in ends.items():
        is_unlike, scale = by_range(name, own, usual, unit=unit)
        if not is_unlike:
            continue
        found, expected = (f"{low:g}\u2013{high:g}" for low, high in (own, usual))
        units = f", as {scale.there} is to {scale.here}" if scale is not None and scale.there else ""
        yield Gap(
            site=site,
            column=name,
            kind="range",
            expected=expected,
            found=found,
            says=f"at {site} {name!r} goes from {_to(own)}, and at {_others(site, ends)} from {_to(usual)}{units}",
            remedy="if it is in another unit there, say by which factor its numbers are multiplied",
            repair=None if scale is None else Repair(site=site, column=name, scale=scale),
        )


def _to(ends: tuple[float, float]) -> str:
    return f"{ends[0]:g} to {ends[1]:g}"


def _usual_range(ends: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """Return the range whose middle is the median of all; of two that of the first site."""
    ordered = sorted(ends.values(), key=lambda one: one[0] + one[1])
    return next(iter(ends.values())) if len(ordered) == 2 else ordered[len(ordered) // 2]


def _sparse(name: str, seen: Mapping[str, Seen], read: Mapping[str, SeenTable]) -> Iterator[Gap]:
    """Find columns of which a site has few values, or fewer than the others."""
    shares = {}
    for site, one in seen.items():
        rows = read[site].rows
        if one.missing is not None and rows:
            shares[site] = one.missing / rows
    for site, share in shares.items():
        others = [other for at, other in shares.items() if at != site]
        usual = sum(others) / len(others) if others else 0.0
        if share > MANY or (others and share - usual > MORE):
            yield Gap(
                site=site,
                column=name,
                kind="missingness",
                expected=f"{usual:.0%}" if others else "",
                found=f"{share:.0%}",
                says=f"{site} has no value of {name!r} in {share:.0%} of its rows"
                + (f", the others in {usual:.0%}" if others else ""),
                remedy="check how it spells missing values, or learn without it",
            )
