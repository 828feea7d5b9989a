"""What the gradient methods of a job take, before anything is trained."""

from orchestrator.preparation import Prepared
from orchestrator.wording import counted, listed

BYTES = 8


def gradient_lines(prepared: Prepared) -> list[str]:
    """Lines for `apportion plan`: the methods, the trainings on the whole set, values stored; none without methods.

    Their time is not predicted: it depends on the method and its options.
    """
    specs = prepared.job.gradients
    if not specs:
        return []
    data = prepared.loaded.dataset
    lines = [f"gradients: {listed([spec.label for spec in specs])}"]
    whole = max((spec.models_needed for spec in specs if not spec.recorded and spec.campaign is None), default=0)
    runs = list(dict.fromkeys(spec.recorded for spec in specs if spec.recorded))
    trained = [counted(whole, "model")] if whole else []
    trained += [f"{counted(len(runs), 'recorded run')} ({', '.join(runs)})"] if runs else []
    if trained:
        lines.append(f"  trained on all {data.n:,} instances: {listed(trained)}; their time is not predicted")
    kept = dict.fromkeys(spec.campaign for spec in specs if spec.campaign is not None)
    lines += [f"  models that {name} keeps" for name in kept]
    matrices = sum(spec.given == "matrix" for spec in specs)
    if matrices:
        size = matrices * BYTES * data.n * data.n_test
        lines.append(f"  {counted(matrices, 'matrix', 'matrices')} [{data.n:,}, {data.n_test:,}], {size / 1e6:.3g} MB")
    return lines
