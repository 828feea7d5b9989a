"""What a model is like, found by running it on a few rows: whether it can be trained together, and if not, why."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from workers.errors import LearnerError
from workers.learners.torch_batched import BatchedModel
from workers.learners.torch_batching import SEEDS, agree, batched_model
from workers.learners.torch_data import TorchData, as_inputs
from workers.learners.torch_module import ModuleFactory, built, check_outputs, described, seeded, with_channels_last
from workers.learners.torch_stack import fixed_tensors

ROWS: Final = 16
FEWER_ROWS: Final = 5

BATCH_NORM: Final = (nn.modules.batchnorm._BatchNorm,)  # noqa: SLF001 - the only name that all its kinds share
CONVOLUTIONS: Final = (nn.modules.conv._ConvNd,)  # noqa: SLF001 - as above


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What the trial found.

    reason: why models cannot be trained together, "" where they can. stacked: their batched form, where they can.
    instance_floats: numbers of one instance's input and activations. parameters: trained numbers of one model.
    channels_last: whether its convolutions run with channels innermost, the faster way on a CPU.
    """

    reason: str
    stacked: BatchedModel | None
    parameters: int
    instance_floats: int
    convolutional: bool
    channels_last: bool
    normalises_batches: bool
    precision: str


def trial(factory: ModuleFactory, data: TorchData, reference: str, *, by_hand: bool = True) -> TrialReport:
    """Construct the model, run it on a few training rows, and try three of them together.

    Raises:
        LearnerError: the model cannot be constructed, cannot take the features, gives outputs of another shape, or
            starts from parameters that its seed does not fix.
    """
    module = built(factory, SEEDS[0], reference)
    dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in module.parameters()})
    _check_seeding(module, built(factory, SEEDS[0], reference), reference)
    rows = torch.arange(ROWS) % data.n
    inputs = as_inputs(data.train_features[rows.to(data.train_features.device)].cpu())
    if inputs.is_floating_point():
        inputs = inputs.nan_to_num()  # what the trial finds must not hang on a bad instance among the first
    floats = _probe_outputs(module, inputs, data, reference)
    reason = _cannot_stack(factory, inputs)
    stacked = None
    if not reason:
        labels = data.train_labels.cpu()[rows]
        stacked, reason = batched_model(factory, inputs, labels, data.task, data.device, by_hand=by_hand)
    return TrialReport(
        reason=reason,
        stacked=stacked,
        parameters=sum(p.numel() for p in module.parameters() if p.requires_grad),
        instance_floats=floats,
        convolutional=any(isinstance(part, CONVOLUTIONS) for part in module.modules()),
        channels_last=data.device == "cpu" and _takes_channels_last(factory, inputs),
        normalises_batches=any(isinstance(part, BATCH_NORM) for part in module.modules()),
        precision="+".join(dtypes),
    )


def _check_seeding(first: nn.Module, second: nn.Module, reference: str) -> None:
    pairs = zip(first.state_dict().items(), second.state_dict().values(), strict=True)
    for (name, one), other in pairs:
        if not torch.equal(one, other):
            raise LearnerError(
                f"model: {reference} starts from other numbers in {name} each time, though PyTorch's generator is"
                " seeded: draw initial parameters with torch's random functions, not NumPy's or Python's"
            )


def _probe_outputs(module: nn.Module, inputs: Tensor, data: TorchData, reference: str) -> int:
    """Check the outputs in evaluation mode; the count of numbers that one instance makes on its way."""
    counts = [inputs.numel()]

    def count(_module: nn.Module, _inputs: object, outputs: object) -> None:
        counts.append(outputs.numel() if isinstance(outputs, Tensor) else 0)

    leaves = [part for part in module.modules() if not list(part.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.no_grad(), seeded(0, "cpu"):
            outputs = module.eval()(inputs)
    except Exception as error:
        raise LearnerError(_cannot_run(error, inputs, reference)) from error
    finally:
        module.train()
        for handle in handles:
            handle.remove()
    check_outputs(outputs, rows=len(inputs), task=data.task, classes=data.classes, reference=reference)
    return -(-sum(counts) // len(inputs))


def _cannot_run(error: Exception, inputs: Tensor, reference: str) -> str:
    hint = ""
    if isinstance(error, IndexError):
        hint = f"; the features go from {inputs.min().item():g} to {inputs.max().item():g} (see num_embeddings)"
    elif not inputs.is_floating_point():
        hint = "; a layer such as Linear refuses integers: save the features as float32, or call x.float() in forward"
    kind = str(inputs.dtype).removeprefix("torch.")
    return f"model: {reference} cannot take inputs {list(inputs.shape)} of {kind}: {described(error)}{hint}"


def _cannot_stack(factory: ModuleFactory, inputs: Tensor) -> str:
    """Why the model must be trained alone, from its layers and from what it does in training mode; "" = no reason."""
    module = factory.build(SEEDS[0])
    trained = [p for p in module.parameters() if p.requires_grad]
    if not trained:
        return "the model has no trained parameters"
    if len({p.dtype for p in trained}) > 1:
        return "its parameters are of several types"
    if any(isinstance(part, BATCH_NORM) for part in module.modules()):
        return (
            "batch normalisation mixes the rows of a batch (GroupNorm or LayerNorm in its place would train together)"
        )
    return _misbehaviour(module, inputs)


def _misbehaviour(module: nn.Module, inputs: Tensor) -> str:
    before = {name: tensor.clone() for name, tensor in fixed_tensors(module).items()}
    with torch.no_grad(), seeded(0, "cpu"):
        generator_before = torch.get_rng_state()
        outputs = module(inputs)
        if not torch.equal(generator_before, torch.get_rng_state()):
            return "forward draws random numbers in training by a function (nn.Dropout layers train together)"
        fewer = module(inputs[:FEWER_ROWS])
    after = fixed_tensors(module)
    if any(not _same(tensor, after[name]) for name, tensor in before.items()):
        return "forward changes the model's buffers in training"
    if not agree(fewer, outputs[:FEWER_ROWS]):
        return "an instance's outputs depend on the other instances of its batch"
    return ""


def _takes_channels_last(factory: ModuleFactory, inputs: Tensor) -> bool:
    """Whether the model has convolutions in a plane and gives the same with channels innermost (a `view` may not)."""
    plain = factory.build(SEEDS[0]).eval()
    if not any(isinstance(part, nn.Conv2d) for part in plain.modules()):
        return False
    try:
        with seeded(0, "cpu"):
            expected, moved = plain(inputs), with_channels_last(factory.build(SEEDS[0])).eval()(inputs)
            moved.sum().backward()
    except Exception:  # noqa: BLE001 - whatever it cannot do, it need not
        return False
    return agree(moved.detach(), expected.detach())


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)
