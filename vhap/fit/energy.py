"""The energy: picks the terms of a stage, weighs them and sums them up. The only place that knows weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from vhap.config.track import LossWeightConfig
from vhap.data.sample import FrameBatch
from vhap.fit import losses
from vhap.fit.accumulation import accumulated
from vhap.fit.landmarks.problem import for_each_camera
from vhap.fit.params import CAMERA, TrackParams
from vhap.fit.scene import Scene, emphasis, for_pictures
from vhap.fit.stages import Stage
from vhap.geometry.cameras import Camera
from vhap.head.model import landmark_points, pose, yaw_in_camera
from vhap.render.appearance_prior import AppearancePrior
from vhap.render.scene import PLAIN, Alignment, Rendering, render_head
from vhap.render.shading import shade, uniform_lights
from vhap.render.types import Raster

Terms = dict[str, Tensor]
SHADING_STRIDE = 8
SHOWN = (*CAMERA, "lights", "residual_texture")
"""Unknowns that pictures show beside the posed head."""
GROWING = ("crown",)
"""Regions that the silhouette term pulls outwards to the matte. Below the crown long hair would pull the head apart."""


@dataclass(frozen=True)
class EnergyValue:
    """total: weighted sum, differentiable; terms: unweighted values by weight name, for reading; picture (N, H, W, 3):
    what was rendered, None in second-order stages."""

    total: Tensor
    terms: Terms
    picture: Tensor | None


@dataclass
class _Pixels:
    """What is kept of pictures that were rendered one after the other. picture (N, H, W, 3); sums: over pixels, by
    weight name; n_rendered: pixels of the head."""

    picture: Tensor
    sums: Terms = field(default_factory=dict)
    n_rendered: int = 0
    parts: list[Tensor] = field(default_factory=list)

    def add(self, which: slice, rendering: Rendering, sums: Terms) -> None:
        self.picture[which] = rendering.picture.detach()
        # Every eighth pixel: the light has nine numbers for each channel, the picture a hundred thousand.
        self.parts.append(rendering.normals[-self.n_rendered % SHADING_STRIDE :: SHADING_STRIDE].detach())
        self.n_rendered += len(rendering.raster.pixels)
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()

    @property
    def normals(self) -> Tensor:
        """(M, 3) of every eighth pixel of the head."""
        return torch.cat(self.parts)


@dataclass(frozen=True)
class Neighbours:
    """The frames before those of a batch, held fixed. params: B rows; valid: (B,) False where there is none."""

    params: TrackParams
    valid: Tensor


@dataclass(frozen=True)
class Energy:
    """Sum of weighted terms over a batch of frames. texture_scale: scale_factor / n_downsample_rgb; micro_batch_size:
    how many pictures are rendered at once."""

    scene: Scene
    weights: LossWeightConfig
    texture_scale: float = 1.0
    sh_lights: bool = True
    prior: AppearancePrior | None = None
    micro_batch_size: int = 8

    def __call__(self, params: TrackParams, before: Neighbours, batch: FrameBatch, stage: Stage) -> EnergyValue:
        """params: B rows, the batch's timesteps; gradients flow to whichever of its tensors ask for them."""
        posed = pose(self.scene.head, params.head())
        terms = self.terms_without_pixels(params, posed, before, batch, stage)
        pixels, cost = self._pixels(params, posed, batch, self.alignment(stage, batch.alpha is not None))
        terms |= self._surface_terms(params, pixels.normals, stage)
        total = self._weigh(terms) + cost / max(pixels.n_rendered, 1)
        of_pixels = {name: value / max(pixels.n_rendered, 1) for name, value in pixels.sums.items()}
        return EnergyValue(total, terms | of_pixels, pixels.picture)

    def _pixels(
        self, params: TrackParams, posed: Tensor, batch: FrameBatch, alignment: Alignment
    ) -> tuple[_Pixels, Tensor]:
        """What all pictures say, and the weighted sum over their pixels, with gradients. posed: (B, V, 3)."""
        pixels = _Pixels(torch.empty_like(batch.rgb))
        rows = for_pictures(torch.arange(params.n_timesteps), batch)

        def evaluate(which: slice, posed: Tensor, *shown: Tensor) -> Tensor:
            part = batch.select(which)
            local = replace(params, **dict(zip(SHOWN, shown)))
            camera = local.cameras(self.scene.given, self.scene.size, part.cameras)
            rendering = self.render(local, posed[rows[which]], camera, part.rgb, alignment)
            sums = self._pixel_sums(rendering, part)
            pixels.add(which, rendering, sums)
            return self._weigh(sums)

        starts = range(0, len(rows), self.micro_batch_size)
        parts = (slice(start, start + self.micro_batch_size) for start in starts)
        cost = accumulated(evaluate, parts, posed, *(getattr(params, name) for name in SHOWN))
        return pixels, cost

    def terms_without_pixels(
        self, params: TrackParams, posed: Tensor, before: Neighbours, batch: FrameBatch, stage: Stage
    ) -> Terms:
        """Landmarks, priors, offsets and motion; posed (B, V, 3): the head as params pose it."""
        terms = {"landmark": self._landmark_term(params, posed, batch, stage)}
        terms |= self._prior_terms(params) | self._offset_terms(params, before)
        return terms | self._temporal_terms(params, before) if stage.temporal else terms

    def alignment(self, stage: Stage, has_alpha: bool) -> Alignment:
        """What moves no vertex in this stage, the appearance prior, and whether coverage is compared."""
        scene = self.scene
        return Alignment(
            fixed_texture=scene.faces_in(stage.fixed_texture),
            fixed_outline=scene.vertices_in(stage.fixed_outline),
            prior=self.prior,
            coverage=has_alpha and self.weights.silhouette > 0,
        )

    def render(
        self,
        params: TrackParams,
        vertices: Tensor,
        camera: Camera,
        background: Tensor | None,
        alignment: Alignment = PLAIN,
    ) -> Rendering:
        """The head over a background (B, H, W, 3) with the current albedo and light."""
        scene = self.scene
        albedo = scene.albedo(params.residual_texture)
        lights = params.lights if self.sh_lights else None
        return render_head(
            scene.backend,
            vertices,
            scene.topology,
            scene.head.uvs,
            albedo,
            lights,
            camera,
            background,
            alignment=alignment,
        )

    def weight_of(self, name: str) -> float:
        weight = float(getattr(self.weights, name) or 0.0)
        return weight * self.texture_scale**2 if name == "reg_tex_tv" else weight

    def _weigh(self, terms: Terms) -> Tensor:
        weights = {name: self.weight_of(name) for name in terms}
        weighted = [weights[name] * terms[name] for name in terms if weights[name] != 0]
        return torch.stack(weighted).sum() if weighted else torch.zeros((), device=self.scene.base_texture.device)

    def _landmark_term(self, params: TrackParams, posed: Tensor, batch: FrameBatch, stage: Stage) -> Tensor:
        head, name = self.scene.head, self.scene.landmark_set
        camera = params.cameras(self.scene.given, self.scene.size, batch.cameras)
        turns = camera.T_camera_world[..., :3, :3].unflatten(0, (params.n_timesteps, -1))
        yaw = yaw_in_camera(for_each_camera(params.head()), turns)
        seen = posed[:, None].expand(*yaw.shape, -1, -1)
        projected, _ = camera.project(landmark_points(head, seen, name, yaw).flatten(0, 1))
        ids = head.landmarks[name].detector_ids
        weight = batch.confidence[:, ids] * emphasis(name, ids, stage.jaw_line)
        return losses.landmark(projected, batch.landmarks_px[:, ids], weight, self.scene.size)

    def _prior_terms(self, params: TrackParams) -> Terms:
        return {
            "reg_shape": losses.reg_shape(params.shape),
            "reg_expr": losses.reg_expr(params.expr),
            "reg_neck": losses.reg_neck(params.neck_pose),
            "reg_jaw": losses.reg_jaw(params.jaw_pose),
            "reg_eyes": losses.reg_eyes(params.eyes_pose),
        }

    def _pixel_sums(self, rendering: Rendering, batch: FrameBatch) -> Terms:
        """Terms that are divided by the number of rendered pixels of all pictures."""
        sums = {"photo": losses.photo(rendering.picture, batch.rgb)}
        if rendering.coverage is not None and batch.alpha is not None:
            sums["silhouette"] = self._silhouette_sum(rendering.raster, rendering.coverage, batch.alpha)
        return sums

    def _silhouette_sum(self, raster: Raster, coverage: Tensor, alpha: Tensor) -> Tensor:
        """Head outside the matte costs everywhere, matte outside the head only beside the hair: elsewhere it may be
        a body, clothes or long hair."""
        faces = self.scene.faces_in(GROWING)
        growing = torch.zeros_like(coverage)
        if faces is not None:
            seen = faces[raster.face_id.clamp(min=0).long()] & raster.mask
            growing = max_pool2d(seen.to(coverage)[:, None], 3, 1, 1)[:, 0]
        return losses.silhouette(coverage, alpha, growing)

    def _surface_terms(self, params: TrackParams, normals: Tensor, stage: Stage) -> Terms:
        """Texture where it moves (its terms would outweigh what changes), and light where that moves, on the
        visible surface, which normals (M, 3) stand for."""
        terms: Terms = {}
        if "texture" in stage.groups:
            terms["reg_tex_tv"] = losses.reg_tex_tv(self.scene.albedo(params.residual_texture))
            terms["reg_tex_res"] = losses.reg_tex_res(params.residual_texture, self.scene.kept_texels)
        if self.sh_lights and "lights" in stage.groups:
            terms["reg_diffuse"] = losses.reg_diffuse(shade(normals, params.lights))
            terms["reg_light"] = losses.reg_light(params.lights, uniform_lights().to(params.lights))
        return terms

    def _offset_terms(self, params: TrackParams, before: Neighbours) -> Terms:
        offset = params.offset()
        if offset is None:
            return {}
        scene, w = self.scene, self.weights
        change = scene.laplacian_of(offset)
        terms = {
            "reg_offset": losses.reg_offset(offset, scene.mask(w.reg_offset_relax_for), w.reg_offset_relax_coef),
            "reg_offset_lap": losses.reg_offset_lap(
                change, scene.mask(w.reg_offset_lap_relax_for), w.reg_offset_lap_relax_coef
            ),
            "reg_offset_rigid": losses.reg_offset_rigid(offset, scene.regions(w.reg_offset_rigid_for)),
        }
        past = before.params.dynamic_offset
        if params.dynamic_offset is not None and past is not None:
            terms["reg_offset_dynamic"] = losses.reg_offset_dynamic(params.dynamic_offset, past, before.valid)
        return terms

    @staticmethod
    def _temporal_terms(params: TrackParams, before: Neighbours) -> Terms:
        past, valid = before.params, before.valid
        return {
            "smooth_trans": losses.smooth(params.translation, past.translation, valid),
            "smooth_rot": losses.smooth_rotation(params.rotation, past.rotation, valid),
            "smooth_neck": losses.smooth_rotation(params.neck_pose, past.neck_pose, valid),
            "smooth_jaw": losses.smooth_rotation(params.jaw_pose, past.jaw_pose, valid),
            "smooth_eyes": losses.smooth_rotation(params.eyes_pose, past.eyes_pose, valid),
            "smooth_expr": losses.smooth_expr(params.expr, past.expr, valid),
        }
