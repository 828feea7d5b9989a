"""A small closed language of functions of losses: `clip(cross_entropy, 0.5)`, `log(cross_entropy + 0.001)`.

Names of kept losses, `probability` (that of the right class, exp(-cross_entropy)), numbers, + - * /, and

    clip(x, high)  clip(x, low, high)  log(x)  exp(x)  sqrt(x)  abs(x)  min(x, y)  max(x, y)  rank(x)

rank(x) is the share of instances whose x is lower in the same retrain, ties by half: a number between 0 and 1. The
result is taken for a loss, lower is better: write `1 - probability`, not `probability`. Python's own parser reads the
text, and whatever is none of the above is refused; nothing is ever run as code.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from estimators.arrays import AnyArray, FloatArray
from estimators.errors import EstimatorError
from estimators.naming import entry_named

LONGEST = 200
DEEPEST = 20

_OPERATORS: Mapping[type[ast.operator], Callable[[FloatArray, FloatArray], FloatArray]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


def _rank(x: FloatArray) -> FloatArray:
    ranks: FloatArray = (rankdata(x, axis=-1) - 0.5) / x.shape[-1]
    return ranks


def _clip(x: FloatArray, *ends: FloatArray) -> FloatArray:
    return np.minimum(x, ends[0]) if len(ends) == 1 else np.minimum(np.maximum(x, ends[0]), ends[1])


FUNCTIONS: Mapping[str, tuple[tuple[int, ...], Callable[..., FloatArray]]] = {
    "clip": ((2, 3), _clip),
    "log": ((1,), np.log),
    "exp": ((1,), np.exp),
    "sqrt": ((1,), np.sqrt),
    "abs": ((1,), np.abs),
    "min": ((2,), np.minimum),
    "max": ((2,), np.maximum),
    "rank": ((1,), _rank),
}
"""Name -> how many arguments it may have, and what it is."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A function of losses. text: written in one way. names: of the losses that it needs."""

    text: str
    names: tuple[str, ...]
    tree: ast.expr

    def __call__(self, losses: Mapping[str, AnyArray]) -> FloatArray:
        """The function of losses [K, instances] of each name, float64.

        Raises EstimatorError where it is not finite (the logarithm of 0, a division by 0).
        """
        columns = {name: losses[name].astype(np.float64) for name in self.names}
        shape = next(iter(columns.values())).shape
        with np.errstate(all="ignore"):
            found = np.broadcast_to(_value(self.tree, columns), shape)
        wrong = ~np.isfinite(found)
        if wrong.any():
            place = tuple(int(each[0]) for each in np.nonzero(wrong))
            seen = ", ".join(f"{name} {column[place]:.6g}" for name, column in columns.items())
            raise EstimatorError(
                f"{self.text} is not finite for {int(wrong.sum())} of {wrong.size} losses, first for {seen}: keep it "
                "finite, for example log(x + 0.001)"
            )
        return np.array(found)


def parse_expression(text: str, kept: tuple[str, ...]) -> Expression:
    """The expression over the losses kept. Raises EstimatorError for what is none, naming it and the nearest names."""
    if len(text) > LONGEST:
        raise EstimatorError(f"an expression of {len(text)} characters; {LONGEST} are allowed")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise EstimatorError(f"{text!r} is no expression ({_why(error)}); {_ALLOWED}") from None
    names: dict[str, None] = {}
    _check(tree, kept, names, DEEPEST)
    if not names:
        raise EstimatorError(f"{text!r} names no loss; kept are {', '.join(kept)}")
    return Expression(ast.unparse(tree), tuple(names), tree)


_ALLOWED = f"it may hold losses, numbers, + - * / and {', '.join(FUNCTIONS)}"


def _why(error: BaseException) -> str:
    return error.msg if isinstance(error, SyntaxError) else str(error)


def _check(node: ast.expr, kept: tuple[str, ...], names: dict[str, None], depth: int) -> None:
    """Refuse whatever is not of the language; gather the losses needed."""
    if depth == 0:
        raise EstimatorError(f"an expression nested more than {DEEPEST} deep")
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool) and np.isfinite(number):
            return
        case ast.Name(id=name):
            if name == "probability" and name not in kept:
                name = "cross_entropy"
            entry_named(name, dict.fromkeys(kept), kind="loss kept")
            names[name] = None
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, kept, names, depth - 1)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            _check(left, kept, names, depth - 1)
            _check(right, kept, names, depth - 1)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            counts, _ = entry_named(name, FUNCTIONS, kind="function")
            if len(arguments) not in counts:
                takes = " or ".join(map(str, counts))
                raise EstimatorError(f"{name} takes {takes} arguments, not {len(arguments)}")
            for argument in arguments:
                _check(argument, kept, names, depth - 1)
        case _:
            raise EstimatorError(f"{ast.unparse(node)!r} may not stand in an expression; {_ALLOWED}")


def _value(node: ast.expr, losses: Mapping[str, FloatArray]) -> FloatArray:
    """The value of a checked node."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return np.asarray(number, dtype=np.float64)
        case ast.Name(id=name):
            return losses[name] if name in losses else np.exp(-losses["cross_entropy"])
        case ast.UnaryOp(op=operator, operand=operand):
            inner = _value(operand, losses)
            return -inner if isinstance(operator, ast.USub) else inner
        case ast.BinOp(left=left, op=operator, right=right):
            return _OPERATORS[type(operator)](_value(left, losses), _value(right, losses))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name][1](*(_value(argument, losses) for argument in arguments))
    raise AssertionError("checked before")
