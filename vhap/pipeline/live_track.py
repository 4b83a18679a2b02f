"""A finished run of the frames of a video in which a known person was followed: as `track` writes it.

No pictures are written. What opens the run (a report, an export) takes them from the video again, with mattes and
landmarks, unless they have been prepared meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.config.data import DataConfig
from vhap.config.loading import save_config
from vhap.config.track import ExperimentConfig, ModelConfig, MonocularTrackConfig
from vhap.data.lost_frames import NO_HEAD
from vhap.data.results import TrackResult, load_result, newest_run, result_path, save_result
from vhap.fit.checkpoint import CHECKPOINT, Checkpoint, Progress, save_checkpoint
from vhap.fit.landmarks.first_guess import fill_between
from vhap.fit.light_file import LIGHT_FILE, LightOrigin, write_light
from vhap.fit.light_views import PosedPicture, light_of_pictures
from vhap.fit.online_person import OnlinePerson, Studio
from vhap.fit.online_pictures import frame_batch
from vhap.fit.params import PER_FRAME, TrackParams, initial_params, to_result
from vhap.fit.stages import LAST_RESULT
from vhap.head.model import pose
from vhap.pipeline.live_person import Kept, compressed
from vhap.pipeline.live_results import LiveResult
from vhap.util.log import get_logger

LIGHT_PICTURES = 16
"""Pictures, evenly over the video, by which its light is found; up to twice as many are kept meanwhile."""
CAMERA_ID = "0"


@dataclass
class FollowedFrames:
    """Takes every frame that is given out: what was solved, and pictures of some. A sink."""

    numbers: list[int] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    solved: dict[str, list[Tensor]] = field(default_factory=lambda: {name: [] for name in PER_FRAME})
    pictures: dict[int, Kept] = field(default_factory=dict)
    step: int = 1

    def write(self, result: LiveResult) -> None:
        row, params = len(self.numbers), result.params
        self.numbers.append(result.frame.number)
        self.found.append(params is not None)
        if params is None:
            return
        for name, values in self.solved.items():
            values.append(getattr(params, name)[0].clone())
        if row % self.step == 0:
            self.pictures[row] = compressed(result.frame.picture)
        if len(self.pictures) > 2 * LIGHT_PICTURES:
            self.step *= 2
            self.pictures = {kept: picture for kept, picture in self.pictures.items() if kept % self.step == 0}

    def close(self) -> None:
        """Nothing is open."""

    def params(self, person: OnlinePerson) -> TrackParams:
        """Of all frames; those without a head stand between their neighbours."""
        found = torch.tensor(self.found)
        params = initial_params(person.head, len(found), 1, person.lights)
        for name, values in self.solved.items():
            getattr(params, name)[found] = torch.stack(values)
        return fill_between(
            replace(params, shape=person.shape, focal_length=person.focal_length, static_offset=person.offset), found
        )


@dataclass(frozen=True)
class FollowedVideo:
    """What is known of a run before its frames: data: the video as a recording; earlier: the run with the person;
    model: that run's head; studio: its size is that of the pictures."""

    data: DataConfig
    earlier: Path
    model: ModelConfig
    studio: Studio

    def save(self, folder: Path, frames: FollowedFrames, person: OnlinePerson) -> bool:
        """Options, checkpoint, results and light, as `track` leaves them; whether any frame showed a head, else nothing
        is written. person: with the albedo that was followed."""
        if not any(frames.found):
            get_logger().warning("no face was found in %s: there is no result", self.data.video)
            return False
        earlier = load_result(result_path(newest_run(self.earlier)))
        params = frames.params(person)
        model = replace(self.model, use_static_offset=person.offset is not None)
        exp = ExperimentConfig(output_folder=folder.absolute().parent, report=False)
        save_config(folder / "config.yml", MonocularTrackConfig(data=self.data, exp=exp, model=model))
        self._save(folder, 0, frames, params, person, earlier)
        light = self._light(frames, params, person, earlier)
        if light is not None:
            params = replace(params, lights=light.lights)
            origin = LightOrigin("separated", light.pictures, light.views, light.turn_degrees)
            write_light(folder / LIGHT_FILE, light.lights, origin, None)
            self._save(folder, LAST_RESULT, frames, params, person, earlier)
        save_checkpoint(folder / CHECKPOINT, _finished(frames, params, person), keep=False)
        return True

    def _save(
        self,
        folder: Path,
        epoch: int,
        frames: FollowedFrames,
        params: TrackParams,
        person: OnlinePerson,
        earlier: TrackResult,
    ) -> None:
        result = to_result(
            params,
            head_identity=person.head.identity,
            timestep_ids=[f"{number:06d}" for number in frames.numbers],
            timestep_indices=frames.numbers,
            image_size=self.studio.size,
            albedo=_texture(earlier.albedo),
            tex_extra=_texture(earlier.tex_extra),
            calibrated=False,
            sh_lights=True,
        )
        lost = np.where(np.array(frames.found)[:, None], "", NO_HEAD)
        path = folder / f"tracked_flame_params_{epoch}.npz"
        save_result(path, replace(result, lost_reason=lost, camera_id=np.array([CAMERA_ID])))

    @torch.no_grad()
    def _light(self, frames: FollowedFrames, params: TrackParams, person: OnlinePerson, earlier: TrackResult):
        """The light of this video on the person's albedo; None where that is not known."""
        albedo, studio, head = _texture(earlier.albedo), self.studio, person.head
        if albedo is None:
            return None

        def posed() -> Iterator[PosedPicture]:
            for row, picture in frames.pictures.items():
                one = params.rows(torch.tensor([row]))
                camera = one.cameras(None, studio.size, torch.zeros(1, dtype=torch.long))
                yield PosedPicture(pose(head, one.head())[0], camera, frame_batch(picture()))

        return light_of_pictures(head, studio.backend, studio.topology, posed(), albedo)


def _texture(planes: np.ndarray | None) -> Tensor | None:
    """(3, A, A) -> (1, A, A, 3)."""
    return None if planes is None else torch.from_numpy(planes).float().permute(1, 2, 0)[None].contiguous()


def _finished(frames: FollowedFrames, params: TrackParams, person: OnlinePerson) -> Checkpoint:
    return Checkpoint(
        params=params,
        progress=Progress(stage=99),
        step=0,
        found=torch.tensor(frames.found)[:, None],
        init_frames=[frames.found.index(True)],
        beside_pixels=person.beside_pixels,
        correlation=person.correlation,
        known={} if person.known is None else {"fine": person.known},
        finished=True,
    )
