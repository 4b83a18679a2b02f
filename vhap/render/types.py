"""What the rendering operations pass to each other, and the interface every backend has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

BESIDE_PICTURE = -1.0
"""Grey of what lies beside a picture: unlike all that is in it, so that a head gains nothing by leaving it."""


@dataclass(frozen=True)
class Topology:
    """A mesh's connectivity, built once.

    faces (F, 3) int32, counter-clockwise from outside; uv_faces (F, 3) int32;
    opposite (F, 3) int32: for the edge from corner k to corner k + 1 the vertex across it in the neighbouring
    face, -1 where the edge is open; neighbour (F, 3) int32: that face itself, -1 where the edge is open.
    """

    faces: Tensor
    uv_faces: Tensor
    opposite: Tensor
    neighbour: Tensor


@dataclass(frozen=True)
class Raster:
    """Visible surface of B pictures, kept as a list of its N covered pixels (background pixels cost nothing).

    face_id (B, H, W) int32: the front-facing triangle nearest to the camera at the pixel's centre, -1 where none.
    pixels (N,) int64: flat indices into B * H * W, ascending; views (N,) int64: the picture each pixel is in.
    barycentrics (N, 3): perspective-correct weights of the face's corners; differentiable in the clip positions.
    barycentric_derivatives (N, 3, 2): their derivatives by picture x and y (y down), per pixel; no gradient.
    """

    face_id: Tensor
    pixels: Tensor
    views: Tensor
    barycentrics: Tensor
    barycentric_derivatives: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, H, W) bool, True where the head is seen."""
        return self.face_id >= 0


class Backend(Protocol):
    """Rendering operations (meaning of nvdiffrast, Laine et al. 2020), on lists of covered pixels."""

    name: str

    def rasterize(self, clip: Tensor, topology: Topology, height: int, width: int) -> Raster:
        """clip (B, V, 4): clip-space vertices as `Camera.to_clip` gives them. Row 0 of a picture is its top."""
        ...

    def interpolate(self, attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        """attributes (B or 1, V, C) on the vertices that faces (F, 3) names -> (N, C)."""
        ...

    def attribute_derivatives(self, attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        """Derivatives of `interpolate` by picture x and y per pixel -> (N, C, 2); no gradient."""
        ...

    def texture(self, texture: Tensor, uv: Tensor, uv_derivatives: Tensor | None, raster: Raster) -> Tensor:
        """texture (B or 1, Ht, Wt, C), row 0 on top; uv (N, 2), origin at the lower left, clamped to the border.

        uv_derivatives (N, 2, 2): derivatives of u and v by picture x and y; mip-mapped and trilinear where given,
        bilinear on the finest level where None. Gradients go to the texture and to uv, none to the mip level.
        Returns (N, C).
        """
        ...

    def light(self, normals: Tensor, lights: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
        """normals (N, 3) of any length > 0, lights (9, 3) of `shading.shade` -> unit normals, shading, both (N, 3)."""
        ...

    def antialias(self, pictures: Tensor, raster: Raster, clip: Tensor, topology: Topology) -> Tensor:
        """pictures (B, H, W, C): blends across silhouette edges; gradients to the pictures and to clip."""
        ...
