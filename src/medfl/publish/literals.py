"""Plain values in Python code, read without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Self

DEEPEST = 40
"""Levels of tables and lists; a study needs five."""
LARGEST = 100_000
"""Values that are read at most: a name may stand for many, and be used many times."""
_MOST = 10**15
"""Numbers that sums may reach."""


class Unread(Exception):  # noqa: N818 - told on as complaints, never by itself
    """Something in the code is no plain value.

    Parameters
    ----------
    found
        What and what to write instead, and where, each.
    """

    def __init__(self, found: list[tuple[tuple[str, str], ast.AST]]) -> None:
        super().__init__()
        self.found = found

    @classmethod
    def of(cls, what: str, node: ast.AST, remedy: str) -> Self:
        """Return it for one place."""
        return cls([((what, remedy), node)])


class Literals:
    """Reads the values of expressions.

    Parameters
    ----------
    tree
        The whole code: names that are given a plain value once, at its outermost level, can be used.
    before
        They must be given it above this.
    """

    def __init__(self, tree: ast.Module, *, before: ast.Call) -> None:
        self._before, self._given, self._depth, self._left = before, _given(tree), 0, LARGEST

    def value(self, node: ast.expr) -> Any:
        """Return an expression's value.

        Raises
        ------
        Unread
            With every part that is no plain value.
        """
        if self._depth >= DEEPEST:
            raise Unread.of("this is nested too deeply", node, f"nest {DEEPEST} at most")
        self._depth, self._left = self._depth + 1, self._left - 1
        if self._left < 0:
            raise Unread.of("a study does not have so many values", node, "write it without names for parts of it")
        try:
            return self._value(node)
        finally:
            self._depth -= 1

    def keywords(self, call: ast.Call) -> dict[str, Any]:
        """Return the named arguments of a call; those that are None are left out."""
        pairs: dict[str, Any] = {}
        wrong = []
        for keyword in call.keywords:
            try:
                found = self.value(keyword.value)
                if keyword.arg is None:
                    pairs |= _table(found, keyword.value)
                else:
                    pairs[keyword.arg] = found
            except Unread as error:
                wrong += error.found
        if wrong:
            raise Unread(wrong)
        return {name: value for name, value in pairs.items() if value is not None}

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=str() as text):
                return _spelt(text, node)
            case ast.Constant(value=None | bool() | int() | float() as value):
                return value
            case ast.Dict():
                return self._dict(node)
            case ast.List(elts=entries) | ast.Tuple(elts=entries):
                return self._entries(entries)
            case ast.Call(func=ast.Name(id="dict"), args=[]):
                return self.keywords(node)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
                number = self._number(inner)
                return -number if isinstance(sign, ast.USub) else number
            case ast.BinOp():
                return self._sum(node)
            case ast.Name(id=name):
                return self._named(name, node)
        raise Unread.of(
            "this is not a plain value, and code is not run to find it",
            node,
            "write the value itself: text, number, list",
        )

    def _dict(self, node: ast.Dict) -> dict[str, Any]:
        table: dict[str, Any] = {}
        wrong = []
        for key, inner in zip(node.keys, node.values, strict=True):
            try:
                value = self.value(inner)
                if key is None:
                    table |= _table(value, inner)
                    continue
                name = self.value(key)
                if not isinstance(name, str):
                    raise Unread.of("a key of a table is a text", key, 'write it in quotes: "name"')
                table[name] = value
            except Unread as error:
                wrong += error.found
        if wrong:
            raise Unread(wrong)
        return {name: value for name, value in table.items() if value is not None}

    def _entries(self, nodes: list[ast.expr]) -> list[Any]:
        entries, wrong = [], []
        for node in nodes:
            try:
                value = self.value(node)
                if value is None:
                    raise Unread.of("a list cannot hold None", node, "leave it out")
                entries.append(value)
            except Unread as error:
                wrong += error.found
        if wrong:
            raise Unread(wrong)
        return entries

    def _number(self, node: ast.expr) -> int | float:
        found = self.value(node)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Unread.of("only numbers can be reckoned with here", node, "write the value itself")
        return found

    def _sum(self, node: ast.BinOp) -> int | float:
        left, right = self._number(node.left), self._number(node.right)
        found: int | float
        match node.op:
            case ast.Add():
                found = left + right
            case ast.Sub():
                found = left - right
            case ast.Mult():
                found = left * right
            case ast.Div() if right:
                found = left / right
            case _:
                raise Unread.of("this is not reckoned here", node, "write the number itself")
        if abs(found) > _MOST:
            raise Unread.of("this number is too large", node, "write the number itself")
        return found

    def _named(self, name: str, node: ast.Name) -> Any:
        given = self._given.get(name, [])
        if len(given) != 1 or given[0] is None:
            what = (
                "is given no plain value at the outermost level" if len(given) < 2 else "is given more than one value"
            )
            raise Unread.of(f"the name {name} {what}", node, "write the value itself")
        if given[0].lineno > self._before.lineno:
            raise Unread.of(f"the name {name} is given its value only later", node, "write the value itself")
        return self.value(given[0])


def _spelt(text: str, node: ast.AST) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Unread.of("this text has half a character", node, "write it without \\ud800 to \\udfff")
    return text


def _table(found: Any, node: ast.AST) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise Unread.of("only a table can be unfolded here", node, "write its keys and values")
    return found


def _given(tree: ast.Module) -> dict[str, list[ast.expr | None]]:
    """Return for each name what it is given: None where that is not said plainly, such as in a loop or a function."""
    found: dict[str, list[ast.expr | None]] = {}
    plain: dict[int, ast.expr | None] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name() as target], value=value):
                plain[id(target)] = value
            case ast.AnnAssign(target=ast.Name() as target, value=value):
                plain[id(target)] = value
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            found.setdefault(node.id, []).append(plain.get(id(node)))
    return found
