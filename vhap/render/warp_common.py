"""Launching Warp kernels on torch tensors, split by views so that results do not depend on the thread count."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import warp as wp
from torch import Tensor

from vhap.render.types import Raster
from vhap.util.quiet_warp import start_quietly
from vhap.util.threads import run_all

SHARED_CHUNKS = 4
"""Gradient buffers of a target that all views share on the CPU, where Warp's atomics are plain adds."""


DESCRIPTION: Any = type(wp.from_torch(torch.zeros(1), return_ctype=True))
"""What kernels take of an array."""
NUMBER = 4
"""Bytes of the numbers of vectors."""
CPU_BLOCK = 1
"""Threads that Warp launches together on a CPU."""
COMMON_CHANNELS = (1, 2, 3)
"""Numbers of channels that kernels are compiled for at first use; others follow when they are met."""

_overloads: dict[tuple[Any, int], Any] = {}
_loading = threading.Lock()
_loaded: set[tuple[Any, str]] = set()
_own = threading.local()
"""Of each thread: commands that launch a kernel anew, by kernel and device."""


def keep_freed_memory() -> None:
    """Lets the C library reuse large blocks: fetching them anew from the system for every operation on a list of
    pixels takes a fifth of the time on the CPU. Nothing happens where the library is not glibc."""
    adjust = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if adjust is not None:
        trim_threshold, mmap_threshold = -1, -3
        adjust(trim_threshold, 2**31 - 1)
        adjust(mmap_threshold, 2**30)


start_quietly()
keep_freed_memory()


def view_ranges(raster: Raster) -> list[tuple[int, int]]:
    """Parts of the pixel list that may be worked on at once: one per view on the CPU, a single one on CUDA."""
    total = len(raster.pixels)
    if raster.pixels.is_cuda:
        return [(0, total)]
    batch, height, width = raster.face_id.shape
    bounds = torch.searchsorted(raster.pixels, torch.arange(batch + 1) * (height * width)).tolist()
    return list(pairwise(bounds))


def shared_ranges(raster: Raster) -> list[tuple[int, int]]:
    """Like `view_ranges`, merged into at most SHARED_CHUNKS parts of consecutive views."""
    ranges = view_ranges(raster)
    size = -(-len(ranges) // SHARED_CHUNKS)
    groups = [ranges[k : k + size] for k in range(0, len(ranges), size)]
    return [(group[0][0], group[-1][1]) for group in groups]


def wrap(tensor: Tensor, dtype: Any = None) -> Any:
    """A torch tensor as the description that kernels take of a Warp array on the same memory. A whole `wp.array` takes
    many times as long to make, which adds up where a kernel works on a few thousand points."""
    if dtype is None:
        tensor = tensor.contiguous()
        size = tensor.element_size()
        return _described(tensor, tensor.shape, [size * step for step in tensor.stride()])
    # Empty tensors count as contiguous with any strides, which Warp refuses.
    tensor = tensor.detach().contiguous() if tensor.numel() else tensor.new_empty(tensor.shape)
    described: Any = wp.from_torch(tensor, dtype=dtype, requires_grad=False, return_ctype=True)
    described.tensor = tensor
    return described


def flat(tensor: Tensor) -> Any:
    """A torch tensor's elements as a one-dimensional Warp array on the same memory."""
    tensor = tensor.contiguous()
    return _described(tensor, (tensor.numel(),), (tensor.element_size(),))


def vectors(tensor: Tensor) -> Any:
    """A torch tensor (..., C) of numbers of 4 bytes as a one-dimensional Warp array of C-vectors on the same memory."""
    tensor, channels, size = tensor.contiguous(), tensor.shape[-1], tensor.element_size()
    assert size == NUMBER, f"numbers of {size} bytes where kernels expect {NUMBER}"
    return _described(tensor, (tensor.numel() // channels,), (size * channels,))


def _described(tensor: Tensor, shape: Sequence[int], strides: Sequence[int]) -> Any:
    described: Any = DESCRIPTION(tensor.data_ptr(), 0, len(shape), shape, strides)
    # The memory lives as long as its description.
    described.tensor = tensor
    return described


def picture_vectors(tensor: Tensor) -> Any:
    """A torch tensor (B, H, W, C) as a Warp array (B, H, W) of C-vectors on the same memory."""
    return wrap(tensor, wp.types.vector(tensor.shape[-1], wp.float32))


def overload(kernel: Any, channels: int, names: Sequence[str], axes: int = 1) -> Any:
    """A kernel whose named arguments are arrays of any vectors, for vectors of `channels` floats."""
    key = (kernel, channels)
    if key not in _overloads:
        table = wp.array(dtype=wp.types.vector(channels, wp.float32), ndim=axes)
        _overloads[key] = wp.overload(kernel, dict.fromkeys(names, table))
    return _overloads[key]


def launch_ranges(
    kernel: Any, ranges: Sequence[tuple[int, int]], inputs: Callable[[int], list[Any]], device: torch.device
) -> None:
    """Runs `kernel(first, *inputs(part))` over every range; parts run at the same time on the CPU."""
    _load(kernel, device)

    def launch(part: int) -> None:
        first, stop = ranges[part]
        if stop > first:
            _launch(kernel, stop - first, [first, *inputs(part)], device)

    with torch_stream(device):
        run_all([partial(launch, part) for part in range(len(ranges))])


def _load(kernel: Any, device: torch.device) -> None:
    """One after the other and before threads start, since several would compile one module at the same time."""
    key = kernel, str(device)
    if key in _loaded:
        return
    with _loading:
        # As `wp.launch` asks for it: on a CPU another number would be compiled beside the one that is launched.
        kernel.module.load(wp.device_from_torch(device), CPU_BLOCK if device.type == "cpu" else None)
    _loaded.add(key)


def _launch(kernel: Any, count: int, inputs: list[Any], device: torch.device) -> None:
    """As `wp.launch`, which checks and converts anew what stays the same from one time to the next: that takes as long
    as a kernel on a few thousand points."""
    commands: dict[tuple[Any, str], tuple[Any, list[Any]]] = _own.__dict__.setdefault("commands", {})
    key = kernel, str(device)
    if key not in commands:
        made: Any = wp.launch(kernel, dim=count, inputs=inputs, device=wp.device_from_torch(device), record_cmd=True)
        made.fwd_args = None
        commands[key] = made, [type(part)() for part in made.params[1:]]
    command, blank = commands[key]
    command.set_dim(count)
    command.set_params_from_ctypes(inputs)
    command.launch()
    # Not to keep what it worked on.
    command.params[1:] = blank


def torch_stream(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Makes Warp use torch's current CUDA stream; nothing on the CPU."""
    if device.type == "cuda":
        return wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(device)))
    return contextlib.nullcontext()
