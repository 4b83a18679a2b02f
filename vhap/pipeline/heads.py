"""The head that a command works with: loaded by its options, with the points of the detector that it is fitted to."""

from __future__ import annotations

from dataclasses import replace

from vhap.config.track import ModelConfig
from vhap.detect.embedding import with_landmarks
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.head.load import choose_head, find_flame, find_gnm, find_ict, load_head
from vhap.head.model import HeadModel
from vhap.render.backend import get_backend


def open_head(options: ModelConfig, landmark_set: str) -> HeadModel:
    """The head of a tracking run's options on the CPU, with landmarks of the set `mediapipe` or `ibug`."""
    return with_detector_points(configured_head(options), landmark_set)


def resolved(options: ModelConfig) -> ModelConfig:
    """The options with `auto` decided and paths spelt out, so that a saved run opens again in another environment.
    Raises InputError where the head's files are missing."""
    flame, gnm = find_flame(options.flame_model_path), find_gnm(options.gnm_path)
    ict = find_ict(options.ict_facekit_path)
    head = choose_head(options.head, flame, gnm, ict, options.head_path)
    return replace(
        options,
        head=head,
        flame_model_path=flame.absolute() if head == "flame" and flame else None,
        gnm_path=gnm.absolute() if head == "gnm" and gnm else None,
        ict_facekit_path=ict.absolute() if head == "ict" and ict else None,
        head_path=options.head_path and options.head_path.expanduser().absolute(),
    )


def configured_head(options: ModelConfig) -> HeadModel:
    """The head of a tracking run's options on the CPU, with the landmarks that it brings along."""
    return load_head(
        options.head,
        flame_model_path=options.flame_model_path,
        gnm_path=options.gnm_path,
        ict_facekit_path=options.ict_facekit_path,
        head_path=options.head_path,
        n_shape=options.n_shape,
        n_expr=options.n_expr,
        add_teeth=options.add_teeth,
        remove_lip_inside=options.remove_lip_inside,
    )


def with_detector_points(model: HeadModel, landmark_set: str) -> HeadModel:
    """The head, with an embedding of the detector's points where it has none. Raises InputError where that fails."""
    if landmark_set in model.landmarks:
        return model
    return with_landmarks(model, MediapipeLandmarks(), get_backend("auto"))
