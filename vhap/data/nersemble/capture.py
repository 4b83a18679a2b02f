"""A sequence of the NeRSemble dataset as a capture, in the folders of version 1 or 2."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from vhap.config.data import Division, NersembleDataConfig
from vhap.data.cameras.camera_params import read_camera_params
from vhap.data.color import correct_affine, correct_polynomial
from vhap.data.frame_cache import DEFAULT_BYTES
from vhap.data.nersemble.catalogue import SERIALS
from vhap.data.pictures import picture_size, some_names
from vhap.data.plausible import check_correction
from vhap.data.rig_capture import Correction, RigCapture
from vhap.data.rig_recording import RigRecording, open_flat_recording
from vhap.data.sequence_folder import find_folder
from vhap.util.errors import InputError
from vhap.util.files import read_json, read_npy

TRAIN = (0, 1, 2, 4, 5, 7, 8, 9, 10, 12, 13, 14)
DIVISIONS: dict[Division, tuple[int, ...]] = {
    "train": TRAIN,
    "val": tuple(index for index in range(len(SERIALS)) if index not in TRAIN),
    "front-view": (8,),
    "side-view": (0,),
    "six-view": (0, 1, 7, 8, 14, 15),
}
"""Indices into the dataset's serials; a calibration may hold fewer cameras, therefore they are chosen by serial."""


class NersembleCapture(RigCapture):
    """As RigCapture, with the dataset's colour correction applied to the pictures."""

    def __init__(self, config: NersembleDataConfig, cache_bytes: int = DEFAULT_BYTES) -> None:
        recording = open_nersemble_recording(config)
        is_benchmark = has_benchmark_calibration(config)
        size = _picture_size(recording) if is_benchmark else config.image_size_during_calibration
        rig = read_camera_params(_calibration(config) / "camera_params.json", size)
        allowed = None if config.division is None else [SERIALS[index] for index in DIVISIONS[config.division]]
        if is_benchmark:
            # The hold-out cameras are calibrated, and have no pictures.
            allowed = [name for name in rig.names if name in recording.images and name in (allowed or rig.names)]
        corrections = partial(read_corrections, config) if config.use_color_correction and not is_benchmark else None
        super().__init__(config, recording, rig, allowed, corrections, cache_bytes)


def open_nersemble_recording(config: NersembleDataConfig) -> RigRecording:
    """The sequence's pictures. Raises InputError where its folder, or the pictures in it, cannot be found."""
    folder = find_subject(config)
    folder = find_folder(folder / "sequences" if config.layout == "v2" else folder, config.sequence)
    return open_flat_recording(folder, config.n_downsample_rgb)


def find_subject(config: NersembleDataConfig) -> Path:
    """The participant's folder: of exactly that name, else with the number padded to three digits."""
    names = [config.subject, config.subject.zfill(3)]
    for name in names:
        folder = config.root_folder / name
        if config.subject and folder.is_dir():
            _require_layout(config, folder)
            return folder
    raise InputError(
        f"expected a folder of subject {config.subject!r} in {config.root_folder}, found none; correct "
        "--data.root_folder or --data.subject"
    )


def has_benchmark_calibration(config: NersembleDataConfig) -> bool:
    """Whether the participant's folder is one of the NeRSemble benchmark, whose folders are those of version 2.

    Its intrinsics are of each camera, in pixels of the pictures, and its colours are corrected already.
    """
    folder = _calibration(config)
    path = folder / "camera_params.json"
    if config.layout != "v2" or (folder / "color_calibration.json").exists() or not path.is_file():
        return False
    content = read_json(path)
    return isinstance(content, dict) and isinstance(content.get("intrinsics"), dict)


def read_corrections(config: NersembleDataConfig, serials: list[str]) -> Mapping[str, Correction]:
    """The colour correction of each camera; InputError where a camera has none, or one of no use."""
    remedy = "complete the download, or give --data.no-use-color-correction"
    if config.layout == "v1":
        folder = config.root_folder / "color_correction" / find_subject(config).name
        if missing := [serial for serial in serials if not (folder / f"{serial}.npy").is_file()]:
            raise InputError(f"expected colour matrices in {folder}, found none of {some_names(missing)}; {remedy}")
        corrections = {serial: _affine(folder / f"{serial}.npy") for serial in serials}
    else:
        path = folder = _calibration(config) / "color_calibration.json"
        content = read_json(path)
        content = content if isinstance(content, dict) else {}
        if missing := [serial for serial in serials if serial not in content]:
            raise InputError(f"expected colour matrices in {path}, found none of {some_names(missing)}; {remedy}")
        corrections = {serial: partial(correct_polynomial, matrix=content[serial]) for serial in serials}
    for serial, correct in corrections.items():
        # Refuses a matrix of another form now, and compiles the kernel before several threads ask for it.
        check_correction(correct, f"camera {serial}", folder)
    return corrections


def _picture_size(recording: RigRecording) -> tuple[int, int]:
    return picture_size(next(iter(next(iter(recording.full_size_images.values())).values())))


def _affine(path: Path) -> Correction:
    return partial(correct_affine, matrix=read_npy(path))


def _calibration(config: NersembleDataConfig) -> Path:
    subject = find_subject(config)
    return subject / "calibration" if config.layout == "v2" else config.root_folder / "camera_params" / subject.name


def _require_layout(config: NersembleDataConfig, subject: Path) -> None:
    """InputError where the folders are those of the other version."""
    found = "v2" if (subject / "sequences").is_dir() else "v1"
    if found != config.layout:
        raise InputError(
            f"expected the folders of NeRSemble {config.layout} in {subject}, found those of {found}; "
            f"use --data.layout {found}"
        )
