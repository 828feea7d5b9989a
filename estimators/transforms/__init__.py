"""Functions of the stored losses, and averages over tests, on which any value may be asked afterwards."""

from estimators.transforms.averages import EACH as EACH
from estimators.transforms.averages import OVER as OVER
from estimators.transforms.averages import Average as Average
from estimators.transforms.expression import Expression as Expression
from estimators.transforms.expression import parse_expression as parse_expression

__all__ = ["EACH", "OVER", "Average", "Expression", "parse_expression"]
