"""A model card (Mitchell et al. 2019) in Markdown: what a model is for, what it was trained on, how well it does."""

from __future__ import annotations

from collections.abc import Iterator

from medfl.publish.dropped import dropped_in, missing_from, present
from medfl.publish.guarding import hidden
from medfl.publish.methods import methods, setting_of
from medfl.publish.promises import dp_of, limits
from medfl.publish.starting import started_from
from medfl.publish.tables import classes_of, outcome_head
from medfl.publish.wording import (
    duration,
    interval,
    label,
    limits_of,
    listed,
    moment,
    number,
    percent,
    sentence,
    whole,
    with_interval,
)
from medfl.store.comparison import across
from medfl.store.subgroups import subgroups
from medfl.store.views import RunView, SiteView

_SHOWN = (
    "auc",
    "auprc",
    "accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "brier",
    "calibration_slope",
    "threshold",
    "rmse",
    "mae",
    "r2",
)
_BY_SITE = ("auc", "accuracy", "sensitivity", "specificity", "rmse", "mae", "r2")


def model_card(run: RunView) -> str:
    """Return the card of a run's last good model."""
    parts = (_head(run), _use(run), _data(run), _how(run), _metrics(run), _limits(run), _origin(run))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(run: RunView) -> Iterator[str]:
    yield f"# Model card: {_plain(run.study)}, {_plain(run.arm)}, seed {run.seed}"
    yield ""
    question = run.spec.get("study", {}).get("question", "")
    yield _plain(question or "No question was written down.")
    if run.members:
        yield ""
        yield f"**Trained by {_plain(listed(run.members))} only, to tell what each site contributes.**"
    if run.status != "finished":
        yield ""
        rounds = f"{run.rounds} of {run.planned_rounds} rounds"
        yield f"**The run is {run.status} after {rounds}; this is its last good model.**"


def _use(run: RunView) -> Iterator[str]:
    target = run.spec["data"]["target"]
    classes = classes_of(run)
    kind = f"the class of {target} ({listed(classes)})" if classes else f"the value of {target}"
    yield "## Intended use"
    yield ""
    yield f"Research: to predict {_plain(kind)} for patients like those it was trained on."
    yield ""
    yield "Not intended: decisions about a patient. It is not a medical device and was not tested for any clinical use."


def _data(run: RunView) -> Iterator[str]:
    classes = classes_of(run)
    shown = classes[1:] if len(classes) == 2 else classes
    yield "## Data by site"
    yield ""
    yield from _table(
        ["Site", "Train rows", "Test rows", *(outcome_head(run, name) for name in shown), "Schema"],
        [
            [site.name, _count(site.train_rows), _count(site.test_rows), *_shares(site, shown), site.schema[:12]]
            for site in run.sites.values()
        ],
    )
    yield ""
    yield "The schema is the beginning of a sha256 over names, types, units and categories of the columns."


def _how(run: RunView) -> Iterator[str]:
    only = {**run.spec, "arm": [arm for arm in run.spec.get("arm", ()) if arm.get("name") == run.arm]}
    yield "## How it was made"
    for paragraph in methods(only, setting_of(run)):
        yield ""
        yield f"**{paragraph.title}.** {_plain(paragraph.text)}"


def _metrics(run: RunView) -> Iterator[str]:
    yield "## How well it does"
    yield ""
    if run.final is None:
        yield "The model was not judged."
        return
    pooled = [name for name in _SHOWN if name in run.metrics]
    missing = missing_from([run])
    over = f"Over all sites' test rows{f', without {missing}' if missing else ''}"
    yield from _table(
        [over, "Value", "95 % interval"],
        [[label(name), *_value(run, name)] for name in pooled],
    )
    names = [name for name in _BY_SITE if name in run.metrics]
    lines = [[site, *(" ".join(_value(run, name, site)).strip() for name in names)] for site in present(run)]
    yield ""
    yield from _table(["At", *map(label, names)], lines)
    yield ""
    yield "Intervals are bootstrap intervals over test rows; they do not cover the randomness of training."
    yield from _groups(run, names)


def _groups(run: RunView, names: list[str]) -> Iterator[str]:
    """Yield a table of the groups of patients, where they were judged."""
    found = subgroups([run], names)
    if not found:
        return
    lines = [
        [
            f"{group.grouping}: {group.group}",
            _count(group.rows),
            *(with_interval(group.estimates.get(name), metric=name) if group.rows else "suppressed" for name in names),
        ]
        for group in found
    ]
    yield ""
    yield from _table(["Group of patients", "Test rows", *map(label, names)], lines)
    yield ""
    yield "Groups that are too small at a site are left out there, and those from which they could be computed."


def _limits(run: RunView) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "- The numbers describe these rows, split this way. Sites that took no part were not tested."
    if run.final is None or not run.final.subgroups:
        yield "- Whether it treats groups of patients alike (sex, age, origin) was not examined."
    if run.spec["data"].get("simulate"):
        yield "- The sites were simulated from one table; real sites differ in more ways."
    privacy = run.asked("privacy")
    dp, masked = dp_of({"privacy": privacy}), hidden(privacy, secure=run.secure)
    if dp is not None:
        yield limits(dp, run)
    else:
        without = "differential privacy" if masked else "secure aggregation or differential privacy"
        yield f"- Trained without {without}: weights may reveal single rows."
    told = (f"{event.site}: {event.text}." if event.site else sentence(event.text) for event in run.notices)
    yield from (f"- {_plain(one)}" for one in told)
    yield from (f"- {_plain(f'{site}: {text}')}" for site, text in dropped_in([run]))


def _origin(run: RunView) -> Iterator[str]:
    facts = {
        "Run": run.run,
        "Study digest": run.digest,
        "Model (sha256)": run.model or "none",
        **({"Started from": started_from(run)} if run.start is not None else {}),
        "Rounds": f"{run.rounds} of {run.planned_rounds}",
        "Ended": moment(run.ended),
        "Work": duration(run.seconds),
        "Platform": run.platform,
        "Versions": ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items())),
    }
    yield "## Origin"
    yield ""
    yield from (f"- {name}: {_plain(value)}" for name, value in facts.items())


def _value(run: RunView, name: str, site: str | None = None) -> tuple[str, str]:
    estimate = across([run], name, site=site)
    if estimate is None:
        return "not defined", ""
    limits = limits_of(estimate, metric=name)
    return number(estimate.mean, metric=name), f"({interval(*limits, metric=name)})" if limits else ""


def _shares(site: SiteView, classes: tuple[str, ...]) -> Iterator[str]:
    counts = {name: site.train_classes.get(name, 0) + site.test_classes.get(name, 0) for name in classes}
    total = sum(site.train_classes.values()) + sum(site.test_classes.values())
    yield from (f"{whole(count)} ({percent(count / total)})" if total else "–" for count in counts.values())


def _count(rows: int | None) -> str:
    return "–" if rows is None else whole(rows)


def _table(heads: list[str], lines: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_plain, heads))} |"
    yield f"|{' --- |' * len(heads)}"
    yield from (f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _plain(text: str) -> str:
    """Return text that Markdown and the HTML made of it take as text."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, "&lt;" if character == "<" else "&gt;" if character == ">" else f"\\{character}")
    return " ".join(text.split())
