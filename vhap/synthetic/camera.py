"""The camera that films a synthetic person. Pictures are supersampled, so the truth has no renderer's edge filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from vhap.geometry.cameras import Camera
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel
from vhap.render.scene import render_head
from vhap.render.topology import build_topology
from vhap.render.types import Backend, Topology
from vhap.synthetic.background import make_background
from vhap.synthetic.person import Person

SEEN_COSINE, HIDDEN_COSINE = 0.0, -0.4
"""Cosine between surface and camera from which a point counts fully, and below which not at all, as the detectors' own
confidences do."""


@dataclass(frozen=True)
class Surface:
    """Connectivity of what is drawn of a person: the head and, after it, the hair. uvs (U, 2): for one texture, the
    head's in its upper half where there is hair."""

    topology: Topology
    uvs: Tensor


def make_surface(model: HeadModel, person: Person) -> Surface:
    hair = person.hair
    if hair is None:
        return Surface(build_topology(model.faces, model.uv_faces), model.uvs)
    faces = torch.cat([model.faces, hair.faces + model.n_vertices])
    uv_faces = torch.cat([model.uv_faces, hair.uv_faces + len(model.uvs)])
    halves = [0.5 + model.uvs[:, 1] / 2, hair.uvs[:, 1] / 2]
    uvs = torch.stack([torch.cat([model.uvs[:, 0], hair.uvs[:, 0]]), torch.cat(halves)], -1)
    return Surface(build_topology(faces, uv_faces), uvs.contiguous())


@dataclass(frozen=True)
class FilmCamera:
    """One camera before one person. fine: the supersampled camera; background (1, H, W, 3) at its size."""

    model: HeadModel
    person: Person
    backend: Backend
    surface: Surface
    camera: Camera
    fine: Camera
    background: Tensor
    supersampling: int

    @property
    def empty(self) -> np.ndarray:
        """(H, W, 3) uint8: the picture without the person."""
        return (255 * self.background[0, :: self.supersampling, :: self.supersampling] + 0.5).to(torch.uint8).numpy()

    def film(self, vertices: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The head's vertices (V, 3), metres -> rgb (H, W, 3) and alpha (H, W), uint8: the share of a pixel that head
        and hair cover."""
        hair, texture = self.person.hair, self.person.texture
        if hair is not None:
            vertices, texture = torch.cat([vertices, hair.posed(vertices)]), torch.cat([texture, hair.texture])
        rendering = render_head(
            self.backend,
            vertices[None],
            self.surface.topology,
            self.surface.uvs,
            texture[None],
            self.person.lights,
            self.fine,
            self.background,
            antialias=False,
        )
        rgb = rendering.picture[0].clamp(0, 1).permute(2, 0, 1)
        cover = rendering.raster.mask.to(rgb.dtype)
        pooled = avg_pool2d(torch.cat([rgb, cover]), self.supersampling)
        values = (255 * pooled + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()
        return np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3])


def make_film_camera(
    model: HeadModel,
    person: Person,
    backend: Backend,
    camera: Camera,
    supersampling: int,
    seed: int,
    surface: Surface | None = None,
) -> FilmCamera:
    """A camera without leading axes. seed: of what stands behind the person; surface: where it is built already."""
    background = make_background(camera.height, camera.width, seed).repeat_interleave(supersampling, 0)
    return FilmCamera(
        model=model,
        person=person,
        backend=backend,
        surface=surface or make_surface(model, person),
        camera=camera,
        fine=camera.resized(camera.height * supersampling, camera.width * supersampling),
        background=background.repeat_interleave(supersampling, 1)[None].contiguous(),
        supersampling=supersampling,
    )


def point_visibility(model: HeadModel, vertices: Tensor, name: str, points: Tensor, centre: Tensor) -> Tensor:
    """Confidence (L,) in [0, 1] of the points of a landmark set: 1 up to the outline, 0 well behind it.

    vertices (V, 3), points (L, 3) on them, and the camera's centre (3,), all in metres.
    """
    landmarks = model.landmarks[name]
    normals = vertex_normals(vertices, model.faces)[model.faces[landmarks.face_ids]]
    normal = (normals * landmarks.barycentrics[..., None]).sum(-2)
    towards = torch.nn.functional.normalize(centre - points, dim=-1)
    cosine = (torch.nn.functional.normalize(normal, dim=-1, eps=1e-12) * towards).sum(-1)
    share = ((cosine - HIDDEN_COSINE) / (SEEN_COSINE - HIDDEN_COSINE)).clamp(0, 1)
    return share * share * (3 - 2 * share)
