"""The energy: picks the terms of a stage, weighs them and sums them up. The only place that knows weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.config.track import LossWeightConfig
from vhap.data.sample import FrameBatch
from vhap.geometry.cameras import Camera
from vhap.model.head import landmark_points, pose, yaw_in_camera
from vhap.render.scene import Rendering, render_head
from vhap.render.shading import shade, uniform_lights
from vhap.tracking import losses
from vhap.tracking.params import TrackParams
from vhap.tracking.scene import Scene, emphasis
from vhap.tracking.stages import Stage

Terms = dict[str, Tensor]
SHADING_STRIDE = 8


@dataclass(frozen=True)
class EnergyValue:
    """total: weighted sum; terms: unweighted values by weight name; rendering: None in landmark stages."""

    total: Tensor
    terms: Terms
    rendering: Rendering | None


@dataclass(frozen=True)
class Neighbours:
    """The frames before those of a batch, held fixed. params: B rows; valid: (B,) False where there is none."""

    params: TrackParams
    valid: Tensor


@dataclass(frozen=True)
class Energy:
    """Sum of weighted terms over a batch of frames. texture_scale: scale_factor / n_downsample_rgb."""

    scene: Scene
    weights: LossWeightConfig
    texture_scale: float = 1.0
    sh_lights: bool = True

    def __call__(self, params: TrackParams, before: Neighbours, batch: FrameBatch, stage: Stage) -> EnergyValue:
        """params: B rows, the batch's frames; gradients flow to whichever of its tensors ask for them."""
        camera = params.camera(self.scene.given, *self.scene.size)
        terms = self._prior_terms(params)
        rendering = None
        head = self.scene.head if stage.photometric else self.scene.landmark_head
        vertices = pose(head, params.head())
        terms["landmark"] = self._landmark_term(params, vertices, camera, batch, stage)
        if stage.photometric:
            rendering = self.render(params, vertices, camera, batch.rgb)
            terms |= self._photometric_terms(params, rendering, batch)
        if stage.temporal:
            terms |= self._temporal_terms(params, before)
        return EnergyValue(self._weigh(terms), terms, rendering)

    def render(self, params: TrackParams, vertices: Tensor, camera: Camera, background: Tensor | None) -> Rendering:
        """The head over a background (B, H, W, 3) with the current albedo and light."""
        scene = self.scene
        albedo = scene.albedo(params.residual_texture)
        lights = params.lights if self.sh_lights else None
        return render_head(scene.backend, vertices, scene.topology, scene.head.uvs, albedo, lights, camera, background)

    def weight_of(self, name: str) -> float:
        weight = float(getattr(self.weights, name) or 0.0)
        return weight * self.texture_scale**2 if name == "reg_tex_tv" else weight

    def _weigh(self, terms: Terms) -> Tensor:
        weighted = [self.weight_of(name) * value for name, value in terms.items() if self.weight_of(name) != 0]
        return torch.stack(weighted).sum()

    def _landmark_term(
        self, params: TrackParams, vertices: Tensor, camera: Camera, batch: FrameBatch, stage: Stage
    ) -> Tensor:
        head = self.scene.head if stage.photometric else self.scene.landmark_head
        name = self.scene.landmark_set
        yaw = yaw_in_camera(params.head(), camera.T_camera_world[..., :3, :3])
        projected, _ = camera.project(landmark_points(head, vertices, name, yaw))
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

    def _photometric_terms(self, params: TrackParams, rendering: Rendering, batch: FrameBatch) -> Terms:
        n_rendered = rendering.raster.pixels.shape[0]
        terms = {
            "photo": losses.photo(rendering.picture, batch.rgb, n_rendered),
            "reg_tex_tv": losses.reg_tex_tv(self.scene.albedo(params.residual_texture)),
            "reg_tex_res": losses.reg_tex_res(params.residual_texture, self.scene.kept_texels),
        }
        if self.sh_lights:
            # Every eighth pixel: the light has nine numbers for each channel, the picture a hundred thousand.
            normals = rendering.normals[::SHADING_STRIDE].detach()
            terms["reg_diffuse"] = losses.reg_diffuse(shade(normals, params.lights))
            terms["reg_light"] = losses.reg_light(params.lights, uniform_lights().to(params.lights))
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
