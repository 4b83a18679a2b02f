"""TorchScript networks from files, and pictures as their tensors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.detect.weights import WeightsFile, require_known
from vhap.util.errors import InputError
from vhap.util.files import read_bytes


def choose_device(device: str) -> torch.device:
    """device: auto, cpu or cuda. InputError for cuda where there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("expected a CUDA device for --device cuda, found none; use --device cpu or auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def load_network(
    weights: WeightsFile, path: Path, device: str, allow_unknown: bool = False
) -> tuple[torch.jit.ScriptModule, torch.device]:
    """A TorchScript module ready for inference. device: auto, cpu or cuda.

    The file is a program that runs while it is loaded: one that is not published is an InputError, unless
    `allow_unknown` is set. What was checked is what is loaded.
    """
    chosen = choose_device(device)
    content = read_bytes(path, f"the weights of {weights.network}")
    if not allow_unknown:
        require_known(weights, path, content)
    try:
        return torch.jit.load(io.BytesIO(content), map_location=chosen).eval(), chosen
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"expected a TorchScript network in {path}, found another or damaged file; get it again"
        ) from error


def to_tensor(picture: np.ndarray, device: torch.device) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).to(device).permute(2, 0, 1)[None].float() / 255


def to_alpha(values: Tensor) -> np.ndarray:
    """(1, 1, H, W) in [0, 1] -> (H, W) uint8."""
    return (values[0, 0].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
