"""Max pooling before ReLU: the same function with the same gradients, from a fraction of the numbers.

Where a window's largest value is positive, both orders pass the same one on, the first of equals; where it is not, ReLU
lets no gradient through in either. Other functions may make equal what was not, and are left as they stand.
"""

from torch import nn

POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


def pooled_first(module: nn.Module) -> bool:
    """Swap each ReLU of a `Sequential` with the max pooling that follows it, in place. Whether there was any.

    Names of parameters stay, for neither layer has any. The caller checks outputs, since a model whose forward calls
    the layers by number may mean another one.
    """
    found = False
    for part in module.modules():
        if type(part) is nn.Sequential:
            for at in range(len(part) - 1):
                if _swaps(part[at], part[at + 1]):
                    part[at], part[at + 1] = part[at + 1], part[at]
                    found = True
    return found


def _swaps(first: nn.Module, second: nn.Module) -> bool:
    if type(first) is not nn.ReLU or not isinstance(second, POOLS) or type(second) not in POOLS:
        return False
    hooks = [hook for part in (first, second) for hook in (part._forward_hooks, part._forward_pre_hooks)]  # noqa: SLF001
    hooks += [hook for part in (first, second) for hook in (part._backward_hooks, part._backward_pre_hooks)]  # noqa: SLF001
    return not second.return_indices and not any(hooks)
