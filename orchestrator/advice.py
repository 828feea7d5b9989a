"""The cheapest design for all the values that a job asks for, in words."""

import math
from collections.abc import Sequence

from estimators.best_design import own_factor, serving_law, variance_factor
from estimators.designs.size_laws import semivalue_sizes
from estimators.errors import EstimatorError
from estimators.methods.value_label import asked_label
from orchestrator.preparation import PlannedCampaign


def advice(values: Sequence[str], campaigns: Sequence[PlannedCampaign]) -> list[str]:
    """One law of sizes for all the semivalues asked for, and what the job's own designs cost beside it.

    Empty where no semivalue is asked for, or all that are asked for are listed exactly.
    """
    n = campaigns[0].design.n
    asked = tuple(dict.fromkeys(value for label in values if _is_semivalue(value := asked_label(label).value, n)))
    if not asked or n < 3 or any(campaign.design.draw_count == 2**n for campaign in campaigns):
        return []
    best = serving_law(asked, n)
    serves = ", ".join(f"{value}: {share:.3g}" for value, share in best.serves)
    lines = [
        f"cheapest law of sizes for {' and '.join(asked)}: {{design: sizes, serves: {{{serves}}}}}",
        "  retrains for the same error, in units of what the best law for that value alone takes:",
        f"    {'design':<28} " + " ".join(f"{value:>16}" for value in asked),
    ]
    rows = [("the one above", [best.factors[value] for value in asked])]
    for campaign in campaigns:
        law = campaign.design.log_size_law()
        if law is not None:
            rows.append((campaign.name, [variance_factor(semivalue_sizes(value, n), law) for value in asked]))
    for name, factors in rows:
        ratios = [factor / own_factor(value, n) for value, factor in zip(asked, factors, strict=True)]
        lines.append(f"    {name:<28} " + " ".join(f"{_times(ratio):>16}" for ratio in ratios))
    return lines


def _times(ratio: float) -> str:
    return f"{ratio:.3g}" if math.isfinite(ratio) and ratio < 1e4 else "not served"


def _is_semivalue(value: str, n: int) -> bool:
    try:
        semivalue_sizes(value, n)
    except EstimatorError:
        return False
    return True
