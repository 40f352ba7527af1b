"""Mutants: small changes of a function by machine, to see whether a check notices each of them.

`mutants(source)` gives them always in the same order. Each changes one place: an operator, a
comparison, a constant, the order of arguments, one parameter for another, a condition, a statement
that is left out.
"""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
NAMES = {
    "min": "max", "max": "min", "argmin": "argmax", "argmax": "argmin", "any": "all", "all": "any",
    "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like",
    "sum": "mean", "mean": "sum", "std": "var", "var": "std", "floor": "ceil", "ceil": "floor",
    "round": "int", "abs": "neg", "log": "exp", "exp": "log", "sorted": "list",
}  # fmt: skip


class Mutant(NamedTuple):
    """`what` is the line as it was changed, `source` is the changed function."""

    what: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Return the mutants of a function, in the order of its lines, each once."""
    tree = ast.parse(source)
    function = tree.body[0]
    if ast.get_docstring(function):
        function.body = function.body[1:]
    parameters = [argument.arg for argument in function.args.args]
    original = ast.unparse(tree)
    found, seen = [], {original}
    for place, node in enumerate(ast.walk(tree)):
        for change in _changes(node, parameters):
            changed = copy.deepcopy(tree)
            change(list(ast.walk(changed))[place])
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text not in seen:
                seen.add(text)
                found.append((node.lineno, Mutant(_what(original, text), text)))
    return [mutant for _, mutant in sorted(found, key=lambda one: one[0])]


def _what(original: str, changed: str) -> str:
    pairs = zip(original.splitlines(), changed.splitlines(), strict=False)
    old, new = next((old.strip(), new.strip()) for old, new in pairs if old != new)
    return f"without `{old}`" if new == "pass" else f"`{new}`"


def _changes(node: ast.AST, parameters: list[str]) -> Iterator:
    """Yield functions that change a node of this kind in place."""
    if isinstance(node, ast.BinOp):
        yield from (_set("op", new()) for new in OPERATORS.get(type(node.op), ()))
        if isinstance(node.op, ast.Sub | ast.Div | ast.Pow):
            yield _swap("left", "right")
    if isinstance(node, ast.BoolOp):
        yield from (_set("op", new()) for new in OPERATORS[type(node.op)])
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from (_set("ops", [new()]) for new in OPERATORS[type(node.ops[0])])
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield _set("value", not node.value)
        elif isinstance(node.value, int | float):
            yield from (_set("value", node.value + step) for step in (1, -1))
    if isinstance(node, ast.If | ast.While):
        yield _set("test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.IfExp):
        yield _swap("body", "orelse")
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield _set("attr", NAMES[node.attr])
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in parameters:
        place = parameters.index(node.id) + 1
        yield _set("id", parameters[place % len(parameters)])
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id in NAMES:
            yield _set("func", ast.Name(NAMES[node.func.id], ast.Load()))
        if len(node.args) > 1:
            yield _set("args", [node.args[1], node.args[0], *node.args[2:]])
        for i in range(len(node.keywords)):
            yield _set("keywords", node.keywords[:i] + node.keywords[i + 1 :])
        if isinstance(node.func, ast.Attribute) and not node.args and not node.keywords:
            yield _become_object  # x.abs() → x
    if isinstance(node, ast.UnaryOp):
        yield _become_operand  # −x → x
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        elements = node.value.elts
        for i in range(len(elements) - 1):
            pair = [elements[i + 1], elements[i]]
            yield _set("value", ast.Tuple([*elements[:i], *pair, *elements[i + 2 :]], ast.Load()))
    if isinstance(node, ast.FunctionDef | ast.For | ast.While | ast.If):
        for i, statement in enumerate(node.body):
            if isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr | ast.For):
                yield _leave_out(i)


def _set(field, value):
    def change(node):
        setattr(node, field, copy.deepcopy(value))

    return change


def _swap(one, other):
    def change(node):
        first, second = getattr(node, one), getattr(node, other)
        setattr(node, one, second)
        setattr(node, other, first)

    return change


def _leave_out(i):
    def change(node):
        node.body[i] = ast.copy_location(ast.Pass(), node.body[i])

    return change


def _become_object(node):
    _become(node, node.func.value)


def _become_operand(node):
    _become(node, node.operand)


def _become(node, other):
    node.__class__ = type(other)
    node.__dict__.clear()
    node.__dict__.update(other.__dict__)
