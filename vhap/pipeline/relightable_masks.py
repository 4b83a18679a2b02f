"""mask/ and seg/ of a subject whose pictures are there: class maps by the tracked head, once the pictures are tracked.

The pictures come before the fit, and so do the first class maps, which are made with them. Those by the head are made
of the finished pictures. What was taken out of these as clothes stays clothes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vhap.config.relightable import CropConfig
from vhap.data.input_alpha import write_alpha_maps
from vhap.data.landmark_files import changed_pictures, load_landmarks
from vhap.data.pictures import common_size, list_pictures, read_alpha, some_names
from vhap.data.provenance import Provenance
from vhap.detect.mediapipe_landmarks import POINT_COUNT
from vhap.detect.weights import FACE_PARSING, weights_if_there
from vhap.pipeline.class_map_record import recorded_parsing, report_foreign, stale_maps
from vhap.pipeline.open_run import open_run
from vhap.pipeline.parsed_clothes import ParsedClothes, learn_from_some, with_clothes
from vhap.pipeline.relightable_capture import subject_capture
from vhap.pipeline.relightable_files import RUNS
from vhap.pipeline.relightable_parsing import (
    MeshParser,
    ParsedPicture,
    mesh_identity,
    open_parser,
    write_class_maps,
)
from vhap.pipeline.relightable_runs import finished_subject_run, has_runs
from vhap.relightable.class_completion import MATTE
from vhap.relightable.class_maps import FaceClass
from vhap.relightable.crop_file import CropRecord
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.log import get_logger

NETWORK = "face-parsing"


def require_run(subject: SubjectFolder) -> None:
    """InputError where no run can be there, as --parsing mesh needs one."""
    if not has_runs(subject):
        raise _without_run(subject)


def run_of_classes(subject: SubjectFolder, record: CropRecord, config: CropConfig) -> Path | None:
    """The finished run whose head makes the class maps that are to be kept; None where none does. InputError where
    --parsing mesh asks for one and there is none of these pictures."""
    if not config.keep_masks or config.parsing not in ("auto", "mesh"):
        return None
    if config.parsing == "auto" and _has_network(record, config):
        return None
    run = finished_subject_run(subject, subject_capture(subject)) if has_runs(subject) else None
    if run is None and config.parsing == "mesh":
        raise _without_run(subject)
    return run


def _has_network(record: CropRecord, config: CropConfig) -> bool:
    """Whether face-parsing, which knows all classes, makes the maps: it does where it made the pictures."""
    if record.options is not None:
        return record.options.get("parsing") == NETWORK
    return weights_if_there(FACE_PARSING, config.parsing_weights) is not None


def _without_run(subject: SubjectFolder) -> InputError:
    return InputError(
        f"expected a finished run of the pictures in {subject.image_folder} for --parsing mesh, found none in "
        f"{subject.path / RUNS}; run `{command('optimize')} --path {subject.path}` first, or take --parsing auto"
    )


def complete_masks(subject: SubjectFolder, record: CropRecord, config: CropConfig, run: Path | None) -> None:
    """Makes seg/ by the run's head, and for pictures that are taken as they are mask/ and seg/ in any way; what is
    there already is left alone. run: as `run_of_classes` gives it."""
    pictures = {Path(name).stem: subject.image_folder / name for name in record.pictures}
    if record.options is None:
        write_alpha_maps(pictures, subject.mask_folder, subject.path)
    elif run is None:
        _require_way(subject, config)
        report_foreign(pictures, subject.class_folder)
        return
    alphas = {name: subject.mask_folder / f"{name}.png" for name in pictures}
    if run is None:
        _report_masks(subject, pictures)
        parser = open_parser(config.parsing, config.parsing_weights, device=config.device)
        write_class_maps(parser, pictures, subject.class_folder, alphas, {})
        return
    before = recorded_parsing(subject.class_folder)
    if config.parsing == "auto" and before is None and list_pictures(subject.class_folder):
        get_logger().warning(
            "class maps of another tool in %s are kept: move them away to have them made", subject.class_folder
        )
        return
    if record.options is None:
        _report_masks(subject, pictures)
    # What `auto` came to before is kept: maps by the head alone were asked for.
    with_networks = config.parsing == "auto" and before != mesh_identity(run)
    identity = mesh_identity(run, with_networks)
    if not stale_maps(pictures, alphas, subject.class_folder, identity):
        report_foreign(pictures, subject.class_folder)
        return
    mesh = MeshParser(open_run(run), with_networks=with_networks)
    points = known_points(subject, pictures)
    parser = mesh if record.options is None else _parser_of_cut(mesh, record, pictures, alphas, points)
    write_class_maps(parser, pictures, subject.class_folder, alphas, points)


def _report_masks(subject: SubjectFolder, pictures: Mapping[str, Path]) -> None:
    """A line where class maps of pictures with an alpha channel are made of masks that are not ours."""
    masks = {name: subject.mask_folder / f"{name}.png" for name in pictures}
    ours = Provenance(subject.path).origins(masks)
    if others := [name for name in masks if name not in ours]:
        get_logger().warning(
            "class maps in %s are made of the masks of another tool in %s for %d of %d pictures (%s), and not of the "
            "pictures' alpha channel; move those away to have both made of it",
            subject.class_folder, subject.mask_folder, len(others), len(pictures), some_names(others),
        )  # fmt: skip


def _require_way(subject: SubjectFolder, config: CropConfig) -> None:
    """InputError where the class maps were made in another way than the one that is named."""
    found = recorded_parsing(subject.class_folder)
    if config.parsing != "auto" and found is not None and "mesh" in found:
        raise InputError(
            f"expected class maps by --parsing {config.parsing} in {subject.class_folder}, found those by the tracked "
            "head; remove that folder to make them again"
        )


def known_points(subject: SubjectFolder, pictures: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Name -> 478 points (478, 2) px of the faces that keypoint_detector.py or iris.py found in these pictures."""
    path = subject.path / "landmark2d" / "mediapipe.npz"
    if not path.is_file():
        return {}
    found = load_landmarks(path)
    sources = Provenance(subject.path).sources(pictures)
    if found.sources is None or not set(pictures) <= set(found.timestep_ids or ()) or changed_pictures(found, sources):
        return {}
    found = load_landmarks(path, list(pictures))
    if found.points.shape[1] != POINT_COUNT:
        return {}
    height, width = common_size(list(pictures.values()))
    pixels = found.points[..., :2] * (width, height)
    return {name: pixels[row] for row, name in enumerate(pictures) if found.detected[row]}


def _parser_of_cut(
    mesh: MeshParser,
    record: CropRecord,
    pictures: Mapping[str, Path],
    alphas: Mapping[str, Path],
    points: Mapping[str, np.ndarray],
) -> CutClothes | WornClothes:
    if (record.options or {}).get("mask_clothes"):
        return CutClothes(mesh, pictures)
    known = {name: points.get(name) for name in pictures}

    def face(name: str, picture: np.ndarray, alpha: np.ndarray) -> np.ndarray | None:
        return mesh.points(ParsedPicture(name, picture, alpha, known[name]))

    return WornClothes(mesh, ParsedClothes(mesh, learn_from_some(pictures, alphas, face)))


@dataclass(frozen=True)
class CutClothes:
    """The class maps of pictures out of which clothes are taken: what the matte has and the picture has not is
    clothes."""

    parser: MeshParser
    pictures: Mapping[str, Path]

    @property
    def identity(self) -> str:
        return self.parser.identity

    def classes(self, parsed: ParsedPicture) -> np.ndarray | None:
        """parsed.alpha: the person with clothes."""
        assert parsed.alpha is not None
        own = read_alpha(self.pictures[parsed.name]).astype(int)
        cloth = (parsed.alpha >= MATTE) & (2 * own < parsed.alpha)
        found = self.parser.classes(replace(parsed, alpha=np.where(cloth, 0, parsed.alpha).astype(np.uint8)))
        if found is None:
            return None
        classes = with_clothes(found.astype(np.uint8), np.zeros(cloth.shape, bool))
        classes[cloth] = FaceClass.CLOTH
        return classes


@dataclass(frozen=True)
class WornClothes:
    """The class maps of pictures with clothes, which the colours of all pictures tell, as they did before the fit."""

    parser: MeshParser
    clothes: ParsedClothes

    @property
    def identity(self) -> str:
        return self.parser.identity

    def classes(self, parsed: ParsedPicture) -> np.ndarray | None:
        return self.clothes.classes_of(replace(parsed, points=self.parser.points(parsed)))
