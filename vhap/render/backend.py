"""Choosing a renderer. Nothing heavy is imported before one is made."""

from __future__ import annotations

from typing import Literal

import torch

from vhap.render.types import Backend
from vhap.util.errors import InputError

BackendName = Literal["auto", "warp", "nvdiffrast", "reference"]


def get_backend(name: BackendName | str, device: torch.device | str = "cpu") -> Backend:
    """auto is warp everywhere. Raises InputError where the name is unknown or nvdiffrast cannot run on `device`."""
    device = torch.device(device)
    if name in ("auto", "warp"):
        from vhap.render.warp import WarpBackend

        return WarpBackend()
    if name == "reference":
        from vhap.render.reference import ReferenceBackend

        return ReferenceBackend()
    if name == "nvdiffrast":
        from vhap.render.nvdiffrast import NvdiffrastBackend

        return NvdiffrastBackend(device)
    raise InputError(
        f"expected a renderer out of auto, warp, nvdiffrast, reference, found {name!r}; choose one of these"
    )
