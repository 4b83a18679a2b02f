"""Tracking: fits a head to every frame of a capture and writes a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vhap.config.data import DataConfig, MultiviewDataConfig
from vhap.config.no_effect import lines_of_no_effect, traits_of
from vhap.config.track import ModelConfig, TrackConfig, usual_weights, with_known_occlusions
from vhap.data.monocular_landmarks import landmark_set
from vhap.data.plausible import FaceError
from vhap.data.result_cameras import cameras_in, knows_cameras
from vhap.data.results import TrackResult, load_result, result_epochs, result_path, save_result
from vhap.data.sample import Capture
from vhap.data.sequence_folder import find_folder
from vhap.fit.albedo import tex_extra_of
from vhap.fit.callbacks import (
    Checkpoints,
    LightWriter,
    ResultWriter,
    StageProgress,
    StageTimes,
    TensorBoard,
    TrainPictures,
)
from vhap.fit.checkpoint import CHECKPOINT, Checkpoint
from vhap.fit.history import LossHistory
from vhap.fit.landmarks.first_guess import FirstGuess, guess_from_landmarks
from vhap.fit.landmarks.focal_length import describe_focal
from vhap.fit.light_file import (
    LIGHT_FILE,
    LightOrigin,
    light_in_tracked_axes,
    require_axes,
    write_light,
)
from vhap.fit.loop import Tracker
from vhap.fit.params import TrackParams, initial_params, to_result
from vhap.fit.residuals.landmark_problem import LandmarkProblem, landmark_prior
from vhap.fit.residuals.motion import Spreads
from vhap.fit.scene import Scene, emphasis
from vhap.fit.stages import Stage, build_stages, lines_of_unmoved
from vhap.fit.texture import resize_texture, supported_size, uv_footprint
from vhap.head.model import HeadModel, landmark_head, pose
from vhap.head.texture import region_texture
from vhap.pipeline.captures import find_tracked_world, only_agreeing_views, open_capture, unit_is_unknown
from vhap.pipeline.estimate import describe
from vhap.pipeline.evaluation_folder import write_evaluation_folder
from vhap.pipeline.heads import open_head, resolved
from vhap.pipeline.lost_frames import described, lost_reasons
from vhap.pipeline.open_run import scene_of
from vhap.pipeline.preparation import VideoPreparation
from vhap.pipeline.run_folder import finished_run, start_run_folder, unfinished_run
from vhap.pipeline.start_values import (
    newest_checkpoint,
    saved_result,
    with_motion_of,
    with_person_of,
    with_solved_focal,
    with_texture_of,
)
from vhap.pipeline.track_checks import check_options, lines_of_occlusion
from vhap.pipeline.track_pictures import RunPictures, warn
from vhap.pipeline.video_source import preparing, with_place_of_video, with_video
from vhap.render.backend import get_backend
from vhap.render.shading import uniform_lights
from vhap.render.topology import build_topology
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger, log_to_file
from vhap.util.threads import one_torch_thread

FLAT_TEXTURE_SIZE = 512


def run(config: TrackConfig, lines: Sequence[str] = ()) -> Path:
    """Tracks one sequence. Returns the run folder (the output folder itself for a dry run, which writes nothing).

    lines: what the log is to say first, of options that were not taken as they were typed.
    """
    check_options(config)
    with preparing(config) as preparation:
        return run_beside(preparation, config, lines)


@one_torch_thread()
def run_beside(preparation: VideoPreparation | None, asked: TrackConfig, lines: Sequence[str] = ()) -> Path:
    """As `run`, of options that are checked. preparation: what makes pictures, landmarks and mattes of the video
    meanwhile; the stages that look at pictures wait for it."""
    config = spelt_out(with_video(asked) if preparation is None else with_place_of_video(asked))
    device = choose_device(config.device)
    head, await_mattes = None, None
    if preparation is not None:
        await_mattes = preparation.await_end
        head = open_textured_head(config, landmark_set(config.data.landmark_source), device)
        preparation.await_landmarks()
    capture = open_capture(config, await_mattes)
    count = len(capture.timestep_ids)
    if config.begin_timestep >= count:
        raise InputError(
            f"expected --begin_timestep below the {count} frames of {capture.folder}, found {config.begin_timestep}; "
            "correct it"
        )
    if config.model.light_path is not None:
        require_axes(config.model.light_path, knows_cameras(capture))
    head = head or open_textured_head(config, capture.landmark_set, device)
    stages = wanted_stages(config, build_stages(config))
    pictures = RunPictures(capture, config.data)
    lines = [
        *lines,
        *lines_of_no_effect(asked, traits_of(config)),
        *lines_of_occlusion(asked, config),
        *lines_of_unmoved(config),
    ]
    if preparation is None:
        lines += pictures.read()
    if config.dry_run:
        warn(lines)
        describe(build_tracker(config, capture, head, device), stages)
        return config.exp.output_folder
    with folder_lock(config.exp.output_folder):
        continued = unfinished_run(config, (count, len(capture.camera_ids)), device)
        folder, checkpoint = continued or (start_run_folder(config), None)
        with pictures.or_no_run(folder, continued is None):
            handler = log_to_file(folder / "log.txt")
            try:
                warn(lines)
                track_into(folder, config, capture, pictures, head, stages, device, checkpoint)
            finally:
                get_logger().removeHandler(handler)
                handler.close()
    return folder


def spelt_out(config: TrackConfig) -> TrackConfig:
    """The options as config.yml keeps them: the head's files by name, the recording by its folder's whole name, and
    what counts as hidden."""
    config = with_solved_focal(config)
    data = config.data
    is_video = isinstance(data, DataConfig) and data.video is not None
    if isinstance(data, DataConfig | MultiviewDataConfig) and not is_video:
        folder = find_folder(data.root_folder, data.sequence)
        data = replace(data, sequence=str(folder.relative_to(data.root_folder)))
    return with_known_occlusions(replace(config, data=data, model=resolved(config.model)))


def run_once(config: TrackConfig, changed_ns: int = 0) -> Path:
    """As `run`; a run with the same options that is finished is returned as it is. changed_ns: when the pictures were
    last changed; a run that began before does not count."""
    check_options(config)
    config = with_video(config)
    return finished_run(spelt_out(config), changed_ns) or run(config)


def choose_device(name: str) -> torch.device:
    """auto, cpu or cuda; InputError for others, and where there is no CUDA device."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"expected a device out of auto, cpu, cuda, found {name!r}; choose one of them")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("expected a CUDA device for --device cuda, found none; use --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def open_textured_head(config: TrackConfig, landmark_set: str, device: torch.device) -> HeadModel:
    """The head with the texture that tracking starts from: that of an earlier result, else its base texture."""
    head = open_head_with_base(config.model, landmark_set)
    return with_texture_of(head, saved_result(config, head)).to(device)


def open_head_with_base(model: ModelConfig, landmark_set: str) -> HeadModel:
    """See `with_base`."""
    return with_base(open_head(model, landmark_set), model)


def with_base(head: HeadModel, model: ModelConfig) -> HeadModel:
    """The head with a base texture: its painted one where there is one and it is wanted, else flat colours."""
    if head.base_texture is None or not model.tex_painted:
        head = replace(head, base_texture=region_texture(head, FLAT_TEXTURE_SIZE))
    return head


def wanted_stages(config: TrackConfig, stages: list[Stage]) -> list[Stage]:
    """The stages from begin_stage on; InputError where there is none of that name."""
    names = [stage.name for stage in stages]
    if config.begin_stage is None:
        return stages
    if config.begin_stage not in names:
        raise InputError(
            f"expected one of this run's stages for --begin_stage ({', '.join(names)}), found {config.begin_stage!r}; "
            "choose one of them"
        )
    return stages[names.index(config.begin_stage) :]


def track_into(
    folder: Path,
    config: TrackConfig,
    capture: Capture,
    pictures: RunPictures,
    head: HeadModel,
    stages: list[Stage],
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Runs the stages, from a checkpoint on where there is one, and writes everything into the run folder."""
    log = get_logger()
    log.info("%d frames of %s, head %s, %s", len(capture.timestep_ids), config.data.sequence, head.identity, device)
    log.info("run folder %s", folder)
    times = pictures.times = StageTimes(folder / "seconds.json")
    earlier = checkpoint
    if earlier is None and config.begin_stage is not None and config.model.flame_params_path is None:
        earlier = newest_checkpoint(config, len(capture.timestep_ids), device)
    tracker = build_tracker(config, capture, head, device, earlier)
    if checkpoint is None:
        report_detections(capture, tracker.found)
        times.lap("first_guess")
    else:
        left = [stage.name for stage in stages[checkpoint.progress.stage :]]
        log.info("going on in %s with %s", folder, left[0] if left else "its page")
    base = base_texture_of(config, capture, head) if any(stage.photometric for stage in stages) else None

    def save(epoch: int, params: TrackParams) -> None:
        albedo, tex_extra = None, None
        if base is not None:
            albedo = tracker.scene.albedo(params.residual_texture)
            tex_extra = tex_extra_of(albedo, base, albedo.shape[1], config.model.residual_tex)
        result = to_result(
            params,
            head_identity=head.identity,
            timestep_ids=capture.timestep_ids,
            timestep_indices=capture.timestep_indices,
            image_size=capture.size,
            albedo=albedo,
            tex_extra=tex_extra,
            calibrated=tracker.scene.given is not None,
            sh_lights=config.render.lighting_type == "SH",
            T_tracked_given=tracker.scene.T_tracked_given,
        )
        path = folder / f"tracked_flame_params_{epoch}.npz"
        scene = scene_of(path, epoch, config, head, capture, result)
        lost = lost_reasons(scene, pictures.get(), tracker.found.any(1).cpu().numpy())
        result = replace(result, lost_reason=lost, camera_id=np.array(capture.camera_ids))
        save_result(path, result)
        write_evaluation_folder(replace(scene, result=result))

    board = TensorBoard(folder, config.log)
    tracker.callbacks = (
        pictures,
        StageProgress(),
        times,
        board,
        TrainPictures(folder / "train", config.log, tracker.load, tracker.render),
        LossHistory(folder / "losses.json"),
        LightWriter(folder / LIGHT_FILE, tracker.scene.T_tracked_given),
        ResultWriter(save),
        Checkpoints(folder / CHECKPOINT),
    )
    if config.model.light_path is not None:
        write_light(folder / LIGHT_FILE, tracker.params.lights, LightOrigin("given"), tracker.scene.T_tracked_given)
    times.report()
    with closing(board):
        tracker.run(stages)
    if result_epochs(folder):
        report_lost(load_result(result_path(folder)))


def base_texture_of(config: TrackConfig, capture: Capture, head: HeadModel) -> torch.Tensor:
    """(1, B, B, 3) what tex_extra is added to: the head's own base texture, also where tracking starts from that of an
    earlier result, which readers would have to find."""
    own = head if config.model.flame_params_path is None else open_head_with_base(config.model, capture.landmark_set)
    assert own.base_texture is not None, head.name
    return own.base_texture[None].to(head.template.device)


def build_tracker(
    config: TrackConfig,
    capture: Capture,
    head: HeadModel,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> Tracker:
    """First guess from landmarks, or a checkpoint; then the scene: renderer, texture at the resolution the pictures
    support."""
    name = capture.landmark_set
    small = landmark_head(head, name)
    ids = small.landmarks[name].detector_ids
    pixels, confidence = (_of_points(tensor, ids.cpu()).to(device) for tensor in capture.load_landmarks())
    weight = confidence * emphasis(name, ids, jaw_line=True).clamp(max=1)
    saved = saved_result(config, head)
    prior = landmark_prior(Spreads(config.w, usual_weights(config)))
    problem = LandmarkProblem(small, name, pixels, weight, times_of(config, capture), capture.size, None, prior)
    problem = only_agreeing_views(capture, problem)
    T_tracked_given = find_tracked_world(capture, problem, saved if config.begin_stage is not None else None)
    given = cameras_in(capture, T_tracked_given)
    given = None if given is None else given.to(torch.float32).to(device)
    problem = replace(problem, given=given, unknown_unit=unit_is_unknown(capture))
    if saved is not None:
        problem = problem.near_shape(torch.from_numpy(saved.shape).to(pixels), fixed=config.model.fix_shape)
    if checkpoint is None:
        params = initial_params(head, len(capture.timestep_ids), 1, uniform_lights())
        params = params if saved is None else with_person_of(params, saved)
        guess = guess_from_landmarks(problem, params, config.batch_size, config.begin_timestep)
    else:
        guess = FirstGuess(checkpoint.params, checkpoint.found, checkpoint.init_frames, checkpoint.beside_pixels)
    _report_start(guess, capture, problem)
    scene = replace(build_scene(config, capture, head, given, guess), T_tracked_given=T_tracked_given)
    params = with_surface(guess.params, scene, config.model)
    if saved is not None:
        params = with_person_of(params, saved)
        if config.begin_stage is not None:
            params = with_motion_of(params, saved, capture.timestep_ids)
    tracker = Tracker(
        config=config,
        scene=scene,
        capture=capture,
        problem=problem.trusted(guess.beside_pixels),
        found=guess.found,
        init_frames=guess.init_frames,
        params=params,
        first_row=config.begin_timestep,
    )
    if checkpoint is not None:
        tracker.resume(checkpoint)
    if config.model.light_path is not None:
        lights = light_in_tracked_axes(config.model.light_path, T_tracked_given)
        tracker.params = replace(tracker.params, lights=lights.to(tracker.params.lights))
    return tracker


def _of_points(values: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Those (T, C, L, ...) of a detector's points (T, C, N, ...) that a head has; without a copy where it has all."""
    is_all = torch.equal(ids, torch.arange(values.shape[2]))
    return values if is_all else values[:, :, ids]


def _report_start(guess: FirstGuess, capture: Capture, problem: LandmarkProblem) -> None:
    names = [capture.timestep_ids[row] for row in guess.init_frames]
    told = [f"initialisation on frames {' '.join(names)}"]
    told += [f"cameras at {float(guess.params.rig_scale):.4f} of their distances"] if problem.unknown_unit else []
    get_logger().info(", ".join(told))
    if guess.log_focal_spread is not None:
        focal = float(guess.params.focal_length)
        get_logger().info("%s", describe_focal(focal, guess.log_focal_spread, problem))


def times_of(config: TrackConfig, capture: Capture) -> torch.Tensor:
    """(T,) in which frames that follow each other differ by one; unordered pictures never do."""
    unordered = isinstance(config.data, DataConfig | MultiviewDataConfig) and config.data.unordered
    return torch.tensor(capture.timestep_indices) * (2 if unordered else 1)


def with_surface(params: TrackParams, scene: Scene, model: ModelConfig) -> TrackParams:
    """The unknowns with a texture of the scene's resolution, and with offsets where they are used."""
    count, device = scene.head.n_vertices, params.shape.device
    return replace(
        params,
        residual_texture=torch.zeros_like(scene.base_texture),
        static_offset=torch.zeros(count, 3, device=device) if model.use_static_offset else None,
        dynamic_offset=torch.zeros(params.n_timesteps, count, 3, device=device) if model.use_dynamic_offset else None,
    )


def build_scene(
    config: TrackConfig,
    capture: Capture,
    head: HeadModel,
    given,
    guess: FirstGuess,
) -> Scene:
    device = head.template.device
    backend = get_backend(config.render.backend, device)
    topology = build_topology(head.faces, head.uv_faces)
    rows = guess.params.rows(torch.tensor(guess.init_frames[:1]))
    views = torch.arange(len(capture.camera_ids), device=device)
    vertices = pose(head, rows.head()).expand(len(views), -1, -1)
    raster = backend.rasterize(rows.cameras(given, capture.size, views).to_clip(vertices), topology, *capture.size)
    _, slopes = uv_footprint(backend, topology, head.uvs, raster)
    texels = guess.params.residual_texture.shape[1]
    size = texels if texels > 1 else supported_size(slopes, config.model.tex_resolution)
    get_logger().info("texture of %d texels a side", size)
    assert head.base_texture is not None, head.name
    return Scene(
        head=head,
        landmark_set=capture.landmark_set,
        size=capture.size,
        given=given,
        backend=backend,
        topology=topology,
        base_texture=resize_texture(head.base_texture[None], size),
    )


def report_lost(result: TrackResult) -> None:
    """A line on the pictures that show nothing of the head."""
    lost, cameras = result.lost_reason, result.camera_id
    if lost is not None and cameras is not None and (lost != "").any():
        names = described(lost, result.timestep_id.tolist(), cameras.tolist())
        get_logger().warning("pictures that export leaves out: %s", names)


def report_detections(capture: Capture, found: torch.Tensor) -> None:
    """A line on the frames that are tracked through by their neighbours, and one on those whose landmarks are not the
    head's; FaceError where there is no face at all."""
    detected, found = (capture.load_landmarks()[1] > 0).any((1, 2)), found.any(1)
    if not bool(found.any()):
        raise FaceError(
            f"expected a face in some picture of {capture.folder}, found none; "
            "check the pictures, or delete landmark2d/ to detect again"
        )
    tell = get_logger().info
    for frames, what in (
        (~found & ~detected, "no face found"),
        (~found & detected, "landmarks that are not the head's"),
    ):
        names = [capture.timestep_ids[row] for row in torch.nonzero(frames).flatten().tolist()]
        if names:
            tell("%s in %d frames, tracked through: %s", what, len(names), " ".join(names))
