"""The person of several sequences: shape, offsets, albedo and focal length, solved once from keyframes of all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

from vhap.config.person import PersonConfig
from vhap.data.joined import FewFrames, JoinedCapture
from vhap.data.results import result_epochs, save_result
from vhap.data.run_order import runs_in
from vhap.fit.albedo import tex_extra_of
from vhap.fit.callbacks import Checkpoints, LightWriter, ResultWriter, StageProgress, StageTimes, TensorBoard
from vhap.fit.checkpoint import CHECKPOINT, Checkpoint, OtherVersionError, checkpoint_in, load_checkpoint
from vhap.fit.history import LossHistory
from vhap.fit.landmarks.first_guess import choose_of_each
from vhap.fit.light_file import LIGHT_FILE
from vhap.fit.loop import Tracker
from vhap.fit.params import TrackParams, to_result
from vhap.fit.photometric.problem import most_timesteps
from vhap.fit.stages import Stage, build_stages
from vhap.head.model import HeadModel
from vhap.pipeline.open_run import KEYFRAMES
from vhap.pipeline.run_folder import same_options, start_run_folder
from vhap.pipeline.track import base_texture_of, build_tracker, choose_device, open_textured_head, report_detections
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json
from vhap.util.log import get_logger, log_to_file
from vhap.util.threads import one_torch_thread

NOT_OF_A_PERSON = ("landmark_frames", "moving_offset")
"""Kinds of stages that keyframes do without."""


@one_torch_thread()
def solve_person(config: PersonConfig, joined: JoinedCapture) -> Path:
    """The run folder of the person, which has a result; an unfinished one is continued, a finished one with the same
    options returned as it is. config: as config.yml has it, with the folder of the person's runs; who calls holds that
    folder. InputError where no picture shows a face."""
    device = choose_device(config.device)
    head = open_textured_head(config, joined.landmark_set, device)
    tracker = keyframe_tracker(config, joined, head, device)
    names = tracker.capture.timestep_ids
    continued = None if config.exp.resume == "never" else _begun(config, names, device)
    folder, checkpoint = continued or (start_run_folder(config), None)
    if checkpoint is not None and checkpoint.finished and result_epochs(folder):
        return folder
    write_json(folder / KEYFRAMES, names)
    handler = log_to_file(folder / "log.txt")
    try:
        get_logger().info("the person of %s, by %d keyframes, in %s", " ".join(joined.names), len(names), folder)
        _solve_into(folder, config, tracker, head, checkpoint)
    finally:
        get_logger().removeHandler(handler)
        handler.close()
    return folder


def finished_person(config: PersonConfig) -> Path | None:
    """The newest run of a person with the same options, where that is finished."""
    for folder in reversed(runs_in(config.exp.output_folder)):
        if checkpoint_in(folder) and result_epochs(folder) and same_options(folder, config):
            try:
                return folder if load_checkpoint(folder, torch.device("cpu")).finished else None
            except (InputError, OtherVersionError):
                return None
    return None


def keyframe_tracker(config: PersonConfig, joined: JoinedCapture, head: HeadModel, device: torch.device) -> Tracker:
    """A tracker of the keyframes alone. Landmarks of all frames make the first guess, and say which are the head's."""
    whole = build_tracker(config, joined, head, device)
    report_detections(joined, whole.found)
    count = config.keyframes or most_timesteps(len(joined.camera_ids))
    first = whole.init_frames[0]
    rows = choose_of_each(whole.problem, first, whole.frames_found, joined.recordings(), count)
    some = torch.tensor(rows)
    lit_differently = len(joined.names) > 1 and config.model.light_path is None
    return replace(
        whole,
        capture=FewFrames(joined, rows),
        problem=whole.problem.select(some),
        found=whole.found[some.to(whole.found.device)],
        init_frames=[rows.index(row) for row in whole.init_frames if row in rows] or [0],
        params=whole.params.rows(some.to(whole.params.rotation.device)),
        recordings=joined.recordings()[some] if lit_differently else None,
    )


def person_stages(config: PersonConfig) -> list[Stage]:
    """Those of a run on keyframes."""
    return [stage for stage in build_stages(config) if stage.kind not in NOT_OF_A_PERSON]


def _begun(config: PersonConfig, names: Sequence[str], device: torch.device) -> tuple[Path, Checkpoint] | None:
    """The newest run with the same options, and where it stands; None where it cannot be continued."""
    for folder in reversed(runs_in(config.exp.output_folder)):
        if not (checkpoint_in(folder) and same_options(folder, config)):
            continue
        try:
            if read_json(folder / KEYFRAMES, list) == list(names):
                return folder, load_checkpoint(folder, device)
            get_logger().warning("other keyframes than %s began with; solving the person anew", folder)
        except OtherVersionError:
            get_logger().warning("another release of vhap began %s; solving the person anew", folder)
        except InputError as error:
            get_logger().warning("%s; solving the person anew", str(error).split("; ")[0])
        return None
    return None


def _solve_into(
    folder: Path, config: PersonConfig, tracker: Tracker, head: HeadModel, checkpoint: Checkpoint | None
) -> None:
    capture, scene, stages = tracker.capture, tracker.scene, person_stages(config)
    base = base_texture_of(config, capture, head) if config.exp.photometric else None
    started = time.monotonic()
    if checkpoint is not None:
        tracker.resume(checkpoint)

    def save(epoch: int, params: TrackParams) -> None:
        albedo, tex_extra = None, None
        if base is not None:
            albedo = scene.albedo(params.residual_texture)
            tex_extra = tex_extra_of(albedo, base, albedo.shape[1], config.model.residual_tex)
        mean = params.lights if params.lights.dim() == 2 else params.lights.mean(0)
        result = to_result(
            replace(params, lights=mean),
            head_identity=head.identity,
            timestep_ids=capture.timestep_ids,
            timestep_indices=capture.timestep_indices,
            image_size=capture.size,
            albedo=albedo,
            tex_extra=tex_extra,
            calibrated=scene.given is not None,
            sh_lights=config.render.lighting_type == "SH",
            T_tracked_given=scene.T_tracked_given,
        )
        save_result(folder / f"tracked_flame_params_{epoch}.npz", result)

    board = TensorBoard(folder, config.log)
    tracker.callbacks = (
        StageProgress(),
        StageTimes(folder / "seconds.json"),
        board,
        LossHistory(folder / "losses.json"),
        LightWriter(folder / LIGHT_FILE, scene.T_tracked_given),
        ResultWriter(save),
        Checkpoints(folder / CHECKPOINT),
    )
    with closing(board):
        tracker.run(stages)
    get_logger().info("the person is solved, %.1f s", time.monotonic() - started)
