"""The albedo in results: as it is, and as what it adds to the head's base texture, as other tools have it."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.data.results import TrackResult
from vhap.fit.texture import resize_texture


def tex_extra_of(albedo: Tensor, base_texture: Tensor, size: int, residual: bool) -> Tensor:
    """The texture `tex_extra` of a result, (1, size, size, 3).

    albedo (1, A, A, 3), base_texture (1, B, B, 3). residual: albedo minus base texture, else the albedo itself, in
    [0, 1].
    """
    whole = resize_texture(albedo.clamp(0, 1), size)
    return whole - resize_texture(base_texture, size) if residual else whole


def albedo_of(result: TrackResult, base_texture: Tensor) -> Tensor | None:
    """(1, R, R, 3) in [0, 1] on the device of base_texture (B, B, 3), the head's own; None where the result has none.

    Results of other tools hold the residual alone.
    """
    if result.albedo is not None:
        return _texture(result.albedo).to(base_texture)
    if result.tex_extra is None:
        return None
    residual = _texture(result.tex_extra).to(base_texture)
    return (resize_texture(base_texture[None], residual.shape[1]) + residual).clamp(0, 1)


def _texture(planes) -> Tensor:
    """(3, R, R) -> (1, R, R, 3)."""
    return torch.from_numpy(planes).float().permute(1, 2, 0)[None].contiguous()
