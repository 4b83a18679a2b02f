"""Albedo pictures of a subject by a network of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vhap.config.relightable import AlbedoConfig
from vhap.data.pictures import read_alpha, read_rgb
from vhap.detect.albedo_network import AlbedoNetwork, network_file, placement
from vhap.pipeline.albedo_record import albedo_work
from vhap.pipeline.relightable_capture import SubjectCapture
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.files import file_hash
from vhap.util.log import get_logger
from vhap.util.progress import progress


def write_network_albedo(
    config: AlbedoConfig, subject: SubjectFolder, capture: SubjectCapture, wanted: list[str]
) -> None:
    """Writes the pictures of `wanted` that are missing. InputError, before anything is changed, for what is no network.

    Batches are those of all wanted pictures, whichever of them are missing: a network that draws noise gives the same
    after a kill.
    """
    assert config.model_dir is not None
    file = network_file(config.model_dir, config.allow_unknown_weights)
    work = albedo_work(config, wanted, f"network {file_hash(file)} {config.model_size}", subject)
    if not work.missing:
        get_logger().info("complete already: %s", config.output_dir)
        return
    network = AlbedoNetwork(file, config.model_size, config.device)
    size, missing = config.batch_size, set(work.missing)
    batches = [wanted[start : start + size] for start in range(0, len(wanted), size)]
    batches = [batch for batch in batches if missing & set(batch)]
    made = albedo_of_batch(network, capture, batches[0])
    work.begin()
    for index, batch in enumerate(progress(batches, "albedo")):
        made = made if index == 0 else albedo_of_batch(network, capture, batch)
        for name in batch:
            if name in missing:
                work.write(name, made[name])


def albedo_of_batch(network: AlbedoNetwork, capture: SubjectCapture, names: Sequence[str]) -> dict[str, np.ndarray]:
    """(H, W, 3) uint8 by name, over white; all white where the matte shows nothing."""
    pictures = {name: over_white(capture, name) for name in names}
    places = {name: placement(alpha, network.side) for name, (_, alpha) in pictures.items()}
    shown = {name: place for name, place in places.items() if place is not None}
    squares = [place.square(pictures[name][0]) for name, place in shown.items()]
    albedo = dict(zip(shown, network.albedo(np.stack(squares)))) if squares else {}
    found = {}
    for name, (picture, alpha) in pictures.items():
        size = (picture.shape[0], picture.shape[1])
        made = shown[name].picture(albedo[name], size) if name in shown else np.ones_like(picture)
        # Soft edges as of the pictures: trainers composite both alike.
        mixed = made * alpha[..., None] + 1 - alpha[..., None]
        found[name] = np.round(255 * mixed.clip(0, 1)).astype(np.uint8)
    return found


def over_white(capture: SubjectCapture, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The picture over white (H, W, 3) and its matte (H, W), float32 in [0, 1]; a matte of ones where there is none."""
    picture = read_rgb(tracked_file(capture, "images", name)).astype(np.float32) / 255
    matte = tracked_file(capture, "alpha_maps", name)
    alpha = read_alpha(matte).astype(np.float32) / 255 if matte.is_file() else np.ones(picture.shape[:2], np.float32)
    # Premultiplied colours, which are tracked over their black, hold alpha already.
    share = 1 if capture.background is None else alpha[..., None]
    return (picture * share + 1 - alpha[..., None]).clip(0, 1), alpha


def tracked_file(capture: SubjectCapture, kind: str, name: str) -> Path:
    """A picture or matte of the recording, which may be of another format there."""
    path = capture.path / kind / name
    return path if path.is_file() else path.with_suffix(".png")
