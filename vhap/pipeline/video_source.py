"""A video in place of a sequence folder: preprocessing makes one in the cache, and finds it there again, or makes it in
a process of its own while the video is followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from vhap.config.data import DataConfig, RecordingConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.track import TrackConfig
from vhap.data.monocular_landmarks import SOURCE_FILES
from vhap.data.pictures import list_pictures
from vhap.data.video_folders import folder_of, mark_used
from vhap.pipeline import preprocess_video
from vhap.pipeline.preparation import VideoPreparation
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.threads import get_threads

Data = TypeVar("Data", bound=RecordingConfig)


def with_video(config: TrackConfig) -> TrackConfig:
    """The options with the folder of data.video, where that is given, as their sequence."""
    return replace(config, data=with_folder(config.data))


@contextmanager
def preparing(config: TrackConfig) -> Iterator[VideoPreparation | None]:
    """What makes the folder of data.video beside the caller, who waits for it; None where there is no video, where its
    folder is complete, and where that would gain nothing. Ends it with the block, finished or not."""
    data = config.data
    if not isinstance(data, DataConfig) or data.video is None or not _is_worth_a_process(config):
        yield None
        return
    require_video(data)
    made = with_place(data)
    if _looks_complete(made):
        yield None
        return
    with VideoPreparation(_options(made)) as preparation:
        yield preparation
        preparation.await_end()
        mark_used(made.root_folder / made.sequence)


def recording_of(video: Path, fps: float) -> DataConfig:
    """The options of a run by every frame of a video. Its folder is named, not made."""
    return with_place(DataConfig(video=video, target_fps=fps))


@contextmanager
def prepared_beside(data: DataConfig) -> Iterator[None]:
    """Makes the folder of data.video, as `with_place` names it, beside the caller, and waits for it in the end. A
    warning where it is not complete then: what opens the run tries again, and says why."""
    folder = data.root_folder / data.sequence
    with VideoPreparation(_options(data)) as preparation:
        yield
        try:
            preparation.await_end()
        except (InputError, RuntimeError) as error:
            get_logger().warning("the pictures of %s are not complete: %s", folder, error)
        else:
            mark_used(folder)


def _is_worth_a_process(config: TrackConfig) -> bool:
    """Whether there is a core for it, and mattes to make that nobody needs at once."""
    data = config.data
    assert isinstance(data, DataConfig)
    return get_threads() > 1 and data.matting_method != "none" and config.exp.reuse_landmarks and not config.dry_run


def _looks_complete(data: DataConfig) -> bool:
    """Whether a folder as `with_place` names it has a matte and landmarks of each picture, if nothing has changed."""
    folder = data.root_folder / data.sequence
    pictures = list_pictures(folder / "images")
    points = all((folder / "landmark2d" / f"{name}.npz").is_file() for name in SOURCE_FILES[data.landmark_source])
    return bool(pictures) and points and pictures.keys() <= list_pictures(folder / "alpha_maps").keys()


def require_video(data: DataConfig) -> None:
    """InputError where data.video is gone."""
    assert data.video is not None
    video = data.video.expanduser().absolute()
    if not video.is_file():
        raise InputError(f"expected a video at {video}, found none; correct --data.video, or put it back")


def with_place_of_video(config: TrackConfig) -> TrackConfig:
    """As `with_video`, of a folder that is being made."""
    assert isinstance(config.data, DataConfig)
    return replace(config, data=with_place(config.data))


def with_folder(data: Data) -> Data:
    """The same for the options of a recording. What the folder lacks is made; InputError where the video is gone, and
    where no face is seen in it."""
    if not isinstance(data, DataConfig) or data.video is None:
        return data
    require_video(data)
    made = with_place(data)
    folder = made.root_folder / made.sequence
    preprocess_video.run(_options(made))
    mark_used(folder)
    return made


def with_place(data: Data) -> Data:
    """The options with the folder of data.video, which need not be there."""
    assert isinstance(data, DataConfig)
    assert data.video is not None
    video = data.video.expanduser().absolute()
    folder = folder_of(video, f"{data.target_fps:g} {data.matting_method}")
    return replace(data, video=video, root_folder=folder.parent, sequence=folder.name)


def _options(data: DataConfig) -> PreprocessConfig:
    """What completes the folder of data.video. data: as `with_place` gives it."""
    assert data.video is not None
    scales = () if data.n_downsample_rgb in (None, 1) else (data.n_downsample_rgb,)
    return PreprocessConfig(
        input=data.video,
        output_folder=data.root_folder / data.sequence,
        target_fps=data.target_fps,
        downsample_scales=scales,
        matting_method=data.matting_method,
        landmark_source=data.landmark_source,
        landmark_detector_njobs=data.landmark_detector_njobs,
    )
