"""Synthetic films whose face classes are known: a person with a garment, with or without long hair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from common import FilmOptions, film_config
from torch import Tensor

from vhap.config.synthetic import SyntheticConfig
from vhap.data.pictures import write_picture
from vhap.head.model import HeadModel, pose, zero_params
from vhap.head.regions import complete_regions
from vhap.pipeline.make_synthetic_capture import load_synthetic_head, make_truth
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.relightable.class_maps import FaceClass, read_class_map, write_class_map
from vhap.relightable.head_classes import head_classes
from vhap.render.scene import render_head
from vhap.render.topology import build_topology
from vhap.synthetic.background import smooth_noise
from vhap.synthetic.camera import FilmCamera, Surface, make_surface
from vhap.synthetic.hair import Hair
from vhap.synthetic.writer import CaptureFiles
from vhap.util.files import map_npy

COLUMNS = 96
RINGS = (
    (1.06, 1.06, 0.012), (1.12, 1.14, 0.016), (1.22, 1.24, 0.004), (1.6, 1.4, -0.014), (2.3, 1.6, -0.035),
    (3.0, 1.75, -0.065), (3.25, 1.8, -0.12), (3.3, 1.85, -0.4),
)  # fmt: skip
"""Of the garment from its collar down: half width and half depth in those of the neck's lower end, height in metres."""
COLLAR_RINGS = 3
COLLARS_M = (0.0, 0.02, -0.012)
"""By which the collar is raised; chosen by the seed."""


@dataclass(frozen=True)
class DressedFilm:
    """folder: the capture, whose pictures and alpha maps show the garment."""

    folder: Path
    config: SyntheticConfig
    names: tuple[str, ...]

    def classes(self, name: str) -> np.ndarray:
        """(H, W) uint8: the truth."""
        return read_class_map(self.folder / "ground_truth" / "seg" / f"{name}.png")


def make_dressed_film(options: FilmOptions, seed: int) -> DressedFilm:
    """The film of a seed; odd seeds have long hair. Left alone where it is there."""
    plain = film_config(options, seed)
    folder = plain.output.with_name(f"dressed_{plain.output.name}")
    hair = "long" if seed % 2 else "none"
    config = replace(plain, output=folder, hair=hair, image_format="png", landmark_source="face-alignment")
    files = CaptureFiles(make_capture(config), config.image_format)
    film = DressedFilm(files.folder, config, tuple(f"{t:06d}" for t in range(config.frames)))
    missing = [t for t, name in enumerate(film.names) if not (files.truth / "seg" / f"{name}.png").is_file()]
    if missing:
        truth = make_truth(config, load_synthetic_head(config))
        garment = make_garment(truth.model, truth.person.shape, truth.person.texture, np.random.default_rng((seed, 40)))
        vertices = map_npy(files.vertices)
        for t in missing:
            rgb, alpha, classes = dressed(truth.film_camera, garment, torch.from_numpy(np.array(vertices[t])))
            write_picture(files.image(film.names[t]), rgb)
            write_picture(files.alpha(film.names[t]), alpha)
            write_class_map(files.truth / "seg" / f"{film.names[t]}.png", classes)
    return film


def make_garment(model: HeadModel, shape: Tensor, texture: Tensor, random: np.random.Generator) -> Hair:
    """A pullover that moves with the neck's lower end, for a person of shape (S,) and texture (H, W, 3)."""
    model = complete_regions(model)
    neutral = pose(model, replace(zero_params(model), shape=shape))
    end = neutral[model.regions["bottomline"]].double().numpy()
    middle, half = (end.max(0) + end.min(0)) / 2, np.ptp(end, 0) / 2
    angle = np.linspace(0, 2 * np.pi, COLUMNS + 1)
    lift = COLLARS_M[int(random.integers(len(COLLARS_M)))]
    rings = np.array(RINGS)
    rings[:COLLAR_RINGS, 2] += lift
    around = np.stack([np.sin(angle), np.ones(len(angle)), np.cos(angle)], -1)
    radii = np.stack([rings[:, 0] * half[0], rings[:, 2], rings[:, 1] * half[2]], -1)
    points = torch.from_numpy(middle + radii[:, None] * around).float()
    rows, columns = points.shape[:2]
    ids = np.arange(rows * columns).reshape(rows, columns)
    quads = np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], -1).reshape(-1, 4)
    faces = torch.from_numpy(np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])).long()
    u, v = np.meshgrid(np.linspace(0.01, 0.99, columns), np.linspace(0.99, 0.01, rows))
    ids = model.regions["boundary"]
    return Hair(
        vertices=points.reshape(-1, 3),
        faces=faces,
        uvs=torch.from_numpy(np.stack([u, v], -1).reshape(-1, 2)).float(),
        uv_faces=faces,
        texture=_cloth(texture.shape[0], texture.shape[1], random),
        skull_ids=ids,
        skull=neutral[ids],
    )


def _cloth(height: int, width: int, random: np.random.Generator) -> Tensor:
    """(H, W, 3) albedo: one colour, in half of the cases with stripes of a second."""
    first, second = random.uniform(0.05, 0.7, 3), random.uniform(0.05, 0.7, 3)
    stripes = (np.sin(np.linspace(0, 60 * np.pi, height)) > 0.3)[:, None, None] & bool(random.integers(2))
    noise = smooth_noise(height, width, 1, (8, 60, 250), random)
    return torch.from_numpy(np.where(stripes, second, first) * (1 + 0.15 * noise)).float().clamp(0.01, 0.99)


def dressed(camera: FilmCamera, garment: Hair, head: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """rgb (H, W, 3), alpha (H, W) and classes (H, W) of the head's vertices (V, 3), uint8.

    A pixel's class is the one that most of its samples have.
    """
    person, hair = camera.person, camera.person.hair
    parts, texture, classes = [head], person.texture, [head_classes(camera.model)]
    if hair is not None:
        parts.append(hair.posed(head))
        texture = torch.cat([texture, hair.texture])
        classes.append(torch.full((len(hair.faces),), int(FaceClass.HAIR), dtype=torch.uint8))
    classes.append(torch.full((len(garment.faces),), int(FaceClass.CLOTH), dtype=torch.uint8))
    share = garment.texture.shape[0] / (texture.shape[0] + garment.texture.shape[0])
    surface = _joined(make_surface(camera.model, person), sum(map(len, parts)), garment, share)
    rendering = render_head(
        camera.backend,
        torch.cat([*parts, garment.posed(head)])[None],
        surface.topology,
        surface.uvs,
        torch.cat([texture, garment.texture])[None],
        person.lights,
        camera.fine,
        camera.background,
        antialias=False,
    )
    face_id = rendering.raster.face_id[0].long()
    found = torch.where(face_id >= 0, torch.cat(classes)[face_id.clamp(min=0)], int(FaceClass.BACKGROUND))
    factor = camera.supersampling
    alpha = _pooled((face_id >= 0).float()[..., None], factor)[..., 0]
    return _pooled(rendering.picture[0], factor), alpha, _majority(found, factor)


def _joined(surface: Surface, n_vertices: int, garment: Hair, share: float) -> Surface:
    """The surface and the garment, whose texture is the lowest share of the joined one."""
    faces = torch.cat([surface.topology.faces.long(), garment.faces + n_vertices])
    uv_faces = torch.cat([surface.topology.uv_faces.long(), garment.uv_faces + len(surface.uvs)])
    heights = [share + (1 - share) * surface.uvs[:, 1], share * garment.uvs[:, 1]]
    uvs = torch.stack([torch.cat([surface.uvs[:, 0], garment.uvs[:, 0]]), torch.cat(heights)], -1)
    return Surface(build_topology(faces, uv_faces), uvs.contiguous())


def _pooled(values: Tensor, factor: int) -> np.ndarray:
    pooled = torch.nn.functional.avg_pool2d(values.clamp(0, 1).permute(2, 0, 1), factor)
    return np.ascontiguousarray((255 * pooled + 0.5).to(torch.uint8).permute(1, 2, 0).numpy())


def _majority(classes: Tensor, factor: int) -> np.ndarray:
    """(H f, W f) -> (H, W) uint8."""
    one_hot = torch.nn.functional.one_hot(classes.long(), len(FaceClass)).permute(2, 0, 1).float()
    return torch.nn.functional.avg_pool2d(one_hot, factor).argmax(0).to(torch.uint8).numpy()
