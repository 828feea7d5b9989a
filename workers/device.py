"""Devices: which one to use, how much memory it has, and how many models train together on it."""

import gc
import sys
from pathlib import Path
from typing import Final

from workers.errors import DeviceError

CPU_WORKING_SET: Final = 48 * 2**20
CPU_MOST: Final = 128
CPU_PILOT_MOST: Final = 256
CUDA_MOST: Final = 4096
MEMORY_SHARE: Final = {"cpu": 0.125, "cuda": 0.5}
FLOAT_BYTES: Final = 4
COPIES_OF_PARAMETERS: Final = 6
_SHARE: Final[dict[str, float]] = {}
"""What `limit_gpu` has set in this process."""


def choose_device(name: str) -> str:
    """The device that `name` means: "auto" is "cuda" where there is one, else "cpu".

    Raises:
        DeviceError: the name is unknown, or a GPU is asked for where PyTorch sees none.
    """
    import torch  # noqa: PLC0415 - light commands ask for the other functions only

    kind = name.partition(":")[0]
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in {"cpu", "cuda"}:
        raise DeviceError(f"device: {name!r} is not known; it is one of auto, cpu, cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise DeviceError(_no_gpu(torch.__version__, built_for=torch.version.cuda))
    return name


def _no_gpu(version: str, *, built_for: str | None) -> str:
    if built_for is None:
        cause = f"this PyTorch ({version}) is built for the CPU alone: install a CUDA build of it"
    else:
        cause = (
            f"PyTorch {version} is built for CUDA {built_for} but sees no GPU here: look at `nvidia-smi`, at"
            " CUDA_VISIBLE_DEVICES, and at `workers: {gpus: 1}` in the job file, without which a worker is given none"
        )
    return f"device: 'cuda' is asked for, but {cause}; or write `device: auto` to take the CPU where there is no GPU"


def device_memory(device: str) -> int:
    """Bytes of memory of the device: a GPU's, or the machine's within the limit of its control group.

    The whole, not what is free at the moment, so that the same machine gives the same answer.
    """
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415 - see choose_device

        return int(torch.cuda.get_device_properties(device).total_memory)
    import psutil  # noqa: PLC0415 - needed on this path only

    return min(int(psutil.virtual_memory().total), _control_group_limit())


def free_memory(device: str) -> int:
    """Bytes that a pilot may plan with: of a GPU what is free now within this process's share, else all."""
    if not device.startswith("cuda"):
        return device_memory(device)
    import torch  # noqa: PLC0415 - see choose_device

    free, total = torch.cuda.mem_get_info(device)
    return usable_memory(total=total, free=free, share=_SHARE.get("cuda", 1.0))


def usable_memory(*, total: int, free: int, share: float) -> int:
    """Bytes for one of several processes on a device: its share of the whole, and no more than is free."""
    return max(0, min(int(total * share), free))


def limit_gpu(share: float) -> None:
    """Hold this process to a share of its GPU's memory, so that the others on it keep theirs; nothing from 1 on."""
    if not 0.0 < share < 1.0:
        return
    import torch  # noqa: PLC0415 - see choose_device

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)
        _SHARE["cuda"] = share


def release_memory() -> None:
    """Give back what PyTorch holds of a GPU for later use, after running out of it; nothing without PyTorch."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def _control_group_limit() -> int:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)
    return 2**63


def models_together(
    *,
    parameters: int,
    instance_floats: int,
    batch_rows: int,
    evaluation_rows: int,
    n_evaluated: int,
    device: str,
    memory: int,
    by_memory_alone: bool = False,
) -> int:
    """K, how many models train together: a power of two from shapes and memory alone, never from timing.

    by_memory_alone: the most that a pilot may try.

    parameters: of one model. instance_floats: numbers of one instance's input and activations together. batch_rows
    and evaluation_rows: instances a model sees at a time. n_evaluated: losses a retrain returns. memory: the device's
    bytes.

    On a CPU, one step's working set (parameters, gradients, batch, activations and their gradients) is held near
    `CPU_WORKING_SET`, where the overhead of a step is spread over many models while caches still serve: measured
    for 784-64-10 with batches of 128 and for 64-32-10 with batches of 32. On a GPU, memory is the bound.
    """
    kind = device.partition(":")[0]
    step = FLOAT_BYTES * (2 * parameters + 2 * batch_rows * instance_floats)
    held = FLOAT_BYTES * (
        COPIES_OF_PARAMETERS * parameters + max(4 * batch_rows, 2 * evaluation_rows) * instance_floats + 2 * n_evaluated
    )
    by_memory = int(MEMORY_SHARE[kind] * memory) // held
    wanted = min(by_memory, CUDA_MOST)
    if kind == "cpu":
        wanted = min(by_memory, CPU_PILOT_MOST if by_memory_alone else min(CPU_WORKING_SET // step, CPU_MOST))
    return 1 << max(0, wanted.bit_length() - 1)


def evaluation_rows(*, instance_floats: int, device: str) -> int:
    """Instances evaluated at a time by one model: a multiple of 32, from the shapes of an instance alone."""
    budget = (2**21 if device.startswith("cpu") else 2**25) // max(1, instance_floats)
    most = 512 if device.startswith("cpu") else 4096
    return max(32, min(most, 1 << max(0, budget.bit_length() - 1)))
