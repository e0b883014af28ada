"""Where a training runs: in one process, or in those that a launcher has started.

`torchrun` or `accelerate launch` start one process for each GPU. The first writes and speaks.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState

from salus_ros.prediction.device import check_device


@contextmanager
def acceleration(device: str, precision: str = "float32") -> Iterator[Accelerator]:
    """Join the other processes, if there are any, and train on a device inside.

    Args:
        device: cpu, cuda or cuda:N; of several processes on cuda each takes a GPU of its own.
        precision: float32, or mixed: bfloat16 where the device is a GPU.

    Raises:
        ConfigError: if there is no such device.
    """
    place = check_device(device)
    on_gpu = place.type == "cuda"
    # A process has one such state; without this a second training could not run elsewhere.
    AcceleratorState._reset_state(reset_partial_state=True)
    with torch.cuda.device(place) if on_gpu and place.index is not None else nullcontext():
        yield Accelerator(
            cpu=not on_gpu, mixed_precision="bf16" if on_gpu and precision == "mixed" else "no"
        )


@contextmanager
def processes(device: str) -> Iterator[bool]:
    """Join the processes of a launcher, if it started any; yields whether this is the first.

    Args:
        device: As for `acceleration`.

    Raises:
        ConfigError: if there is no such device.
    """
    state = PartialState(cpu=check_device(device).type == "cpu")
    try:
        yield bool(state.is_main_process)
    finally:
        state.destroy_process_group()
