"""A video in place of a sequence folder: preprocessing makes one in the cache, and finds it there again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from vhap.config.data import DataConfig, RecordingConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.track import TrackConfig
from vhap.data.video_folders import folder_of, mark_used
from vhap.pipeline import preprocess_video
from vhap.util.errors import InputError

Data = TypeVar("Data", bound=RecordingConfig)


def with_video(config: TrackConfig) -> TrackConfig:
    """The options with the folder of data.video, where that is given, as their sequence."""
    return replace(config, data=with_folder(config.data))


def with_folder(data: Data) -> Data:
    """The same for the options of a recording. What the folder lacks is made; InputError where the video is gone, and
    where no face is seen in it."""
    if not isinstance(data, DataConfig) or data.video is None:
        return data
    video = data.video.expanduser().absolute()
    if not video.is_file():
        raise InputError(f"expected a video at {video}, found none; correct --data.video, or put it back")
    folder = _prepared(data, video)
    return replace(data, video=video, root_folder=folder.parent, sequence=folder.name)


def _prepared(data: DataConfig, video: Path) -> Path:
    options = f"{data.target_fps:g} {data.matting_method}"
    folder = folder_of(video, options)
    scales = () if data.n_downsample_rgb in (None, 1) else (data.n_downsample_rgb,)
    preprocess_video.run(
        PreprocessConfig(
            input=video,
            output_folder=folder,
            target_fps=data.target_fps,
            downsample_scales=scales,
            matting_method=data.matting_method,
            landmark_source=data.landmark_source,
            landmark_detector_njobs=data.landmark_detector_njobs,
        )
    )
    mark_used(folder)
    return folder
