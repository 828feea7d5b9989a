"""Devices, and how many models train together."""

import pytest
import torch

from workers.device import choose_device, device_memory, evaluation_rows, models_together, usable_memory
from workers.errors import DeviceError

GIB = 2**30


def together(**changes):
    shapes = {
        "parameters": 50_890,
        "instance_floats": 922,
        "batch_rows": 128,
        "evaluation_rows": 512,
        "n_evaluated": 10_000,
        "device": "cpu",
        "memory": 8 * GIB,
    }
    return models_together(**{**shapes, **changes})


def test_auto_is_a_gpu_where_there_is_one():
    assert choose_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_an_error_that_says_what_to_do():
    with pytest.raises(DeviceError, match=r"(built for the CPU alone|sees no GPU).*device: auto"):
        choose_device("cuda")


def test_an_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="auto, cpu, cuda"):
        choose_device("tpu")


def test_the_machines_memory_is_known():
    assert 2**28 < device_memory("cpu") < 2**50


def test_k_is_a_power_of_two_that_holds_the_working_set_of_a_step_in_cache():
    assert together() == 32
    small = {"parameters": 2_410, "instance_floats": 138, "batch_rows": 32}
    assert together(**small) == 128
    assert together(parameters=20_000_000) == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_k_falls_with_memory_and_never_below_one(device):
    found = [together(device=device, memory=GIB * 2**-k) for k in range(14)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 1
    assert all(k & (k - 1) == 0 for k in found)


def test_a_gpu_takes_as_many_as_memory_holds_up_to_a_limit():
    assert together(device="cuda", memory=80 * GIB) > 16 * together()
    assert together(device="cuda", memory=10**6 * GIB) == 4096


@pytest.mark.parametrize("floats", [1, 138, 922, 10_000, 10**7])
def test_evaluation_goes_by_multiples_of_32_rows(floats):
    rows = evaluation_rows(instance_floats=floats, device="cpu")
    assert rows % 32 == 0
    assert 32 <= rows <= 512


def test_k_follows_a_gpus_free_memory_within_the_workers_share():
    whole = usable_memory(total=80 * GIB, free=79 * GIB, share=1.0)
    quarter = usable_memory(total=80 * GIB, free=79 * GIB, share=0.25)
    crowded = usable_memory(total=80 * GIB, free=3 * GIB, share=1.0)
    assert (whole, quarter, crowded) == (79 * GIB, 20 * GIB, 3 * GIB)
    sizes = [together(device="cuda", memory=memory, parameters=1_000_000) for memory in (whole, quarter, crowded)]
    assert sizes[0] == 4 * sizes[1]
    assert sizes[1] > sizes[2] > 1
    assert together(device="cuda", memory=usable_memory(total=GIB, free=0, share=1.0)) == 1
