"""The policy that a site starts from: cautious, complete, and with a comment on every key."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from medfl.site.rules import Accepts, Approval, BudgetRule, CountRules, Releases, Requires
from medfl.spec.finding import toml
from medfl.spec.part import Part, frozen

HEAD = """\
# What this site allows. It has the last word: a study that this file does not let through is not answered, and what
# this file does not name does not leave.
#
#   medfl policy explain {name}                       what leaves this site, and what never does
#   medfl policy check {name} --study STUDY.toml      what it would say to a study

version = 1
"""
STARTS = frozen(
    {
        "models": ["logistic", "linear", "mlp"],
        "algorithms": "any",
        "columns": "any",
        "harmonise": True,
        "statistics": ["sums", "update", "evaluation", "subgroups", "importance"],
        "details": ["rows", "classes", "missing", "loss", "metrics", "intervals"],
        "metrics": "any",
        "ranges": "rounded",
        "categories": "pooled",
    }
)
"""What is named where a site that has not decided otherwise would probably name it; no study, though."""

EXAMPLES = frozen({"epsilon": "{ record = 8.0 }", "patient_id": '"patient"'})
"""What is shown of keys that are left out."""


def template(name: str = "policy.toml") -> str:
    """Return the text of a policy that every study passes but for its name, and that protects small counts."""
    tables: dict[str, type[Part]] = {
        "accepts": Accepts,
        "requires": Requires,
        "releases": Releases,
        "counts": CountRules,
        "approval": Approval,
    }
    return "\n".join([HEAD.format(name=name), *(_table(key, part) for key, part in tables.items()), _budget()])


def _table(key: str, part: type[Part]) -> str:
    return "\n".join([f"[{key}]", *(_line(name, field) for name, field in part.model_fields.items()), ""])


def _line(name: str, field: FieldInfo) -> str:
    value = STARTS.get(name, field.default)
    written = f"# {name} = {EXAMPLES[name]}" if value is None else f"{name} = {toml(value)}"
    return f"# {field.description}\n{written}"


def _budget() -> str:
    fields = BudgetRule.model_fields
    lines = [
        f"# {fields[name].description}\n# {name} = {value}" for name, value in (("epsilon", 10.0), ("delta", 1e-5))
    ]
    return "\n".join([f"# {(BudgetRule.__doc__ or '').strip()}", "# [budget]", *lines, ""])
