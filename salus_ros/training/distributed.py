"""Training in several processes that `torchrun` has started, one for each GPU.

Every process holds the whole data and draws the same batches; each computes its share of a batch,
and the gradients are averaged. Processes of rank 0 alone write.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


def rank_and_size() -> tuple[int, int]:
    """Number of this process and of all processes; 0 and 1 without `torchrun`."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


@contextmanager
def process_group(device: str) -> Iterator[str]:
    """Join the processes that `torchrun` started, if it did; yields this one's device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    on_gpu = device == "cuda"
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else device
    finally:
        dist.destroy_process_group()


def share(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """This process's rows of a batch; all of them where there are fewer rows than processes."""
    rank, size = rank_and_size()
    first = tensors[0]
    if size == 1 or first is None or len(first) < size:
        return tensors
    return tuple(None if one is None else one[rank::size] for one in tensors)


def averaged(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Mean of each gradient over the processes."""
    _, size = rank_and_size()
    if size == 1:
        return list(gradients)
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat / size, [gradient.numel() for gradient in gradients])
    return [part.view_as(one) for part, one in zip(parts, gradients, strict=True)]
