"""Several processes that train together, as torchrun starts them; or one."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from darkhaloscope.errors import DhsError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among all."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def together(self, net: nn.Module) -> nn.Module:
        """The network, its gradients averaged over all processes."""
        if self.world == 1:
            return net
        return DistributedDataParallel(net)

    def gathered(self, mine: T) -> list[T]:
        """Of every process, in order, everywhere."""
        if self.world == 1:
            return [mine]
        found: list[T | None] = [None] * self.world
        dist.all_gather_object(found, mine)
        return found  # type: ignore[return-value]

    def wait(self) -> None:
        """For all processes."""
        if self.world > 1:
            dist.barrier()


def device_of(name: str | None) -> torch.device:
    """The device of that name; without one this process's GPU, or the CPU where there is none.

    Raises DhsError for a GPU that is not there
    """
    if name is None:
        local = os.environ.get("LOCAL_RANK", "0")
        return torch.device(f"cuda:{local}" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise DhsError(f"--device {name} is not to be had: {said}; try --device cpu") from error
    return device


@contextlib.contextmanager
def ranks(device: str | None = None) -> Iterator[Ranks]:
    """The processes that torchrun started, for the length of a block; this one alone without it.

    device : see device_of
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    here = device_of(device)
    if world == 1:
        yield Ranks(device=here)
        return
    if here.type == "cuda":
        torch.cuda.set_device(here)
    dist.init_process_group("nccl" if here.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), world, here)
    finally:
        dist.destroy_process_group()
