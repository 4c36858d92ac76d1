"""Holds the house rules: who may import whom, how long a file may be, what may not be written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "medfl"
FILES = sorted(SRC.rglob("*.py"))
GROUND = {"errors", "events", "messages", "seeds"}
MAY_IMPORT = {
    "errors": set(),
    "seeds": {"errors"},
    "foreign": set(),
    "messages": {"errors", "foreign", "seeds"},
    "events": {"errors", "messages", "seeds"},
    "spec": {"errors"},
    "private": {"errors"},
    "readiness": {"spec", "errors"},
    "versions": {"errors"},
    "channel": {"errors"},
    "enrolment": {"spec", "foreign", "errors"},
    "tunnel": {"enrolment", "private", "errors"},
    "services": {"errors"},
    "loopback": {"errors", "private"},
    "announced": {"errors"},
    "chain": {"errors", "private"},
    "learn": {"spec", "messages", "seeds", "errors"},
    "privacy": {"learn", "spec", "events", "messages", "seeds", "errors"},
    "store": {"spec", "events", "errors"},
    "run": {"spec", "learn", "privacy", "events", "messages", "foreign", "seeds", "errors"},
    "site": {"spec", "learn", "privacy", "events", "messages", "foreign", "seeds", "errors"}
    | {"enrolment", "tunnel", "private", "loopback", "versions", "channel", "chain"},
    "publish": {"spec", "events", "store", "errors"},
    "bundles": {"spec", "events", "store", "publish", "privacy", "enrolment", "private", "foreign", "errors"},
    "doctor": {"enrolment", "foreign", "versions", "errors"},
    "hub": {"spec", "events", "store", "publish", "bundles", "readiness", "errors"}
    | {"enrolment", "tunnel", "private", "loopback", "looks", "announced", "versions", "channel", "chain"},
}
FRONT_DOORS = {
    "left_out",
    "cli_flower",
    "console_flower",
    "flower_app",
    "flower_home",
    "same_data",
    "__init__",
    "__main__",
    "aligned",
    "bundling",
    "cli",
    "cli_app",
    "cli_bundle",
    "cli_enrol",
    "cli_hub",
    "cli_people",
    "cli_services",
    "cli_site",
    "cli_vpn",
    "console",
    "console_app",
    "console_bundle",
    "console_code",
    "console_datasets",
    "console_enrol",
    "console_hub",
    "console_page",
    "console_people",
    "console_report",
    "console_services",
    "console_policy",
    "console_backup",
    "console_doctor",
    "doctoring",
    "console_site",
    "console_stop",
    "console_vpn",
    "console_watch",
    "consortium",
    "coordinating",
    "costing",
    "deploying",
    "execution",
    "hospital",
    "hospital_tables",
    "hosting",
    "inspection",
    "kept_policies",
    "local_tables",
    "over_hub",
    "policing",
    "rehearsal",
    "rehearsing",
    "reproducing",
    "scribe",
    "simulate",
    "site_page",
    "looks",
    "steering",
    "stopping",
    "window",
    "workbench",
    "testing",
    "trying",
}
BROAD = {("site/answer.py", "answer"), ("site/supernode.py", "answered")}


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (
                f"{node.module}.{alias.name}" if node.module == "medfl" else node.module for alias in node.names
            )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_only_downwards(path: Path) -> None:
    here = room(path)
    for module in imported(parsed(path)):
        parts = module.split(".")
        if parts[0] == "flwr":
            assert path.relative_to(SRC).as_posix().startswith("run/flower"), "only run/flower knows flwr"
        if parts[0] == "ray":
            assert path.relative_to(SRC).as_posix().startswith("run/ray"), "only run/ray knows ray"
        if parts[0] != "medfl" or len(parts) < 2 or here in FRONT_DOORS:
            continue
        if here == "site" and module.startswith("medfl.run.flower"):
            continue  # a site serves over Flower, and knows nothing else of how a run happens
        assert parts[1] == here or parts[1] in MAY_IMPORT[here], f"{here} may not import {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[1] if len(node.body) > 1 and _is_docstring(node.body[0]) else node.body[0]
            assert (node.end_lineno or 0) - start.lineno < 60, f"{path.name}: {node.name} is too long"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_what_may_not_be_written(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "core", "manager", "base", "misc"}
    for node in ast.walk(parsed(path)):
        assert not isinstance(node, ast.Assert) or room(path) == "testing", "assert vanishes under -O"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print" or path.stem == "cli"
        if isinstance(node, ast.Attribute):
            assert (ast.unparse(node) != "sys.exit") or path.stem == "cli"
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = {module.split(".")[0] for module in imported(ast.Module([node], []))}
            assert not modules & {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


def test_broad_excepts_stand_only_at_the_named_boundaries() -> None:
    found = set()
    for path in FILES:
        for function in ast.walk(parsed(path)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and (
                    node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
                ):
                    found.add((path.relative_to(SRC).as_posix(), function.name))
    assert found <= BROAD


def test_public_names_are_sorted_and_real() -> None:
    import medfl

    assert list(medfl.__all__) == sorted(medfl.__all__)
    for name in medfl.__all__:
        assert getattr(medfl, name) is not None


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
