"""Which head to track with, and where its files are."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from vhap.head.builtin import load_builtin
from vhap.head.flame import SOURCE as FLAME_SOURCE
from vhap.head.flame import load_flame
from vhap.head.gnm import SOURCE as GNM_SOURCE
from vhap.head.gnm import VARIABLE as GNM_VARIABLE
from vhap.head.gnm import find_packaged, load_gnm
from vhap.head.head_file import load_head_file
from vhap.head.ict_facekit import SOURCE as ICT_SOURCE
from vhap.head.ict_facekit import load_ict_facekit
from vhap.head.landmark_files import with_irises
from vhap.head.model import HeadModel
from vhap.head.regions import complete_regions, faces_of_region
from vhap.head.texture import region_texture
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.paths import asset_folders

HEADS = ("auto", "flame", "gnm", "ict", "builtin", "file")
FLAME_NAMES = ("flame2023.pkl", "flame2023_Open.pkl", "FLAME2023.pkl", "generic_model.pkl", "flame2020.pkl")
"""Looked for in `flame` of the asset folders, the first one found is taken."""
ICT_PLACES = ("ict_facekit/FaceXModel", "ict_facekit", "FaceXModel")
GNM_PLACES = ("gnm/gnm_head.npz", "gnm_head.npz")
NEEDED_REGIONS = ("face", "left_eyeball", "right_eyeball")
TEXTURE_RESOLUTION = 512
FLAME_VARIABLE, ICT_VARIABLE = "VHAP_FLAME_MODEL", "VHAP_ICT_FACEKIT"


def load_head(
    head: str = "auto",
    flame_model_path: str | Path | None = None,
    ict_facekit_path: str | Path | None = None,
    gnm_path: str | Path | None = None,
    head_path: str | Path | None = None,
    n_shape: int = 300,
    n_expr: int = 100,
    add_teeth: bool = True,
    remove_lip_inside: bool = False,
) -> HeadModel:
    """The head by name, on the CPU, with at most n_shape and n_expr coefficients.

    head: flame, gnm, ict, builtin, file (that of head_path, as `head_file.save_head` writes it), or auto (FLAME where
    its file is found, else GNM, else ICT-FaceKit, else the built-in one).
    Files come from the option, else from VHAP_FLAME_MODEL (a .pkl), VHAP_GNM_HEAD (gnm_head.npz) or VHAP_ICT_FACEKIT
    (the folder FaceXModel), else from the asset folders (`util.paths.asset_folders`), GNM's else from the cache of its
    own package. add_teeth concerns FLAME, the others have teeth.
    remove_lip_inside drops the faces inside the mouth.
    Raises InputError for an unknown name and for missing files, saying where to get them and where to put them.
    """
    flame, gnm, ict = find_flame(flame_model_path), find_gnm(gnm_path), find_ict(ict_facekit_path)
    name = choose_head(head, flame, gnm, ict, head_path)
    if name == "flame":
        model = load_flame(flame or _missing_flame(), add_teeth)
    elif name == "gnm":
        model = load_gnm(gnm or _missing_gnm())
    elif name == "ict":
        model = load_ict_facekit(ict or _missing_ict())
    elif name == "file":
        model = load_own_head(head_path or "")
    else:
        model = complete_regions(load_builtin())
    model = drop_lip_inside(model) if remove_lip_inside else model
    return model.keep_coefficients(n_shape, n_expr)


def choose_head(
    head: str, flame: Path | None, gnm: Path | None, ict: Path | None, head_path: str | Path | None = None
) -> Literal["flame", "gnm", "ict", "builtin", "file"]:
    """What `head` means given the files that were found; auto says what it took. InputError for an unknown name, and
    for a head's file that is missing, or given with another head."""
    if (head == "file") != (head_path is not None):
        found = f"head {head!r} with head_path {head_path}" if head_path else "no head_path"
        raise InputError(
            f"expected head file and the file's head_path together, found {found}; give --model.head file "
            "--model.head_path FILE, or neither"
        )
    if head_path is not None and not Path(head_path).expanduser().is_file():
        raise InputError(f"expected a head's file at {head_path}, found none; check head_path")
    if head == "auto":
        chosen = "flame" if flame else "gnm" if gnm else "ict" if ict else "builtin"
        get_logger().info("head: %s%s", chosen, f" ({flame or gnm or ict})" if chosen != "builtin" else "")
        return chosen
    if head in ("flame", "gnm", "ict", "builtin", "file"):
        return head
    raise InputError(f"expected a head among {', '.join(HEADS)}, found {head!r}; choose one of them")


def load_own_head(path: str | Path) -> HeadModel:
    """A head's file with what it lacks and its mesh allows: regions, iris centres, a texture of one colour a region."""
    model = complete_regions(load_head_file(Path(path).expanduser()))
    missing = [name for name in NEEDED_REGIONS if not len(model.regions.get(name, ()))]
    if missing:
        raise InputError(
            f"expected the regions {', '.join(NEEDED_REGIONS)} in {path} (face follows from landmarks/ibug), found no "
            f"{', '.join(missing)}; add them to the head and save it again"
        )
    if "ibug" in model.landmarks:
        model = replace(model, landmarks={**model.landmarks, "ibug": with_irises(model, model.landmarks["ibug"])})
    if model.base_texture is None:
        model = replace(model, base_texture=region_texture(model, TEXTURE_RESOLUTION))
    return model


def find_flame(option: str | Path | None = None) -> Path | None:
    """The FLAME pickle that the option or the environment names, else of the asset folders; None without one."""
    if named := option or os.environ.get(FLAME_VARIABLE):
        return Path(named).expanduser()
    places = [folder / "flame" / name for folder in asset_folders() for name in FLAME_NAMES]
    return next((place for place in places if place.is_file()), None)


def find_gnm(option: str | Path | None = None) -> Path | None:
    """The npz that the option or the environment names, else of the asset folders, else of its package's cache; None
    without one."""
    if named := option or os.environ.get(GNM_VARIABLE):
        return Path(named).expanduser()
    places = [folder / place for folder in asset_folders() for place in GNM_PLACES]
    return next((place for place in places if place.is_file()), find_packaged())


def find_ict(option: str | Path | None = None) -> Path | None:
    """The folder FaceXModel that the option or the environment names, else of the asset folders; None without one."""
    if named := option or os.environ.get(ICT_VARIABLE):
        return Path(named).expanduser()
    places = [folder / place for folder in asset_folders() for place in ICT_PLACES]
    return next((place for place in places if (place / "vertex_indices.json").is_file()), None)


def drop_lip_inside(model: HeadModel) -> HeadModel:
    """The head without the faces of `lip_inside`, except those that carry a landmark. Vertices stay as they are."""
    if "lip_inside" not in model.regions:
        return model
    keep = ~faces_of_region(model, "lip_inside")
    for marks in (*model.landmarks.values(), *([model.jaw_line] if model.jaw_line else [])):
        keep[marks.face_ids.reshape(-1)] = True
    new_id = torch.cumsum(keep, 0) - 1
    renumbered = {name: replace(marks, face_ids=new_id[marks.face_ids]) for name, marks in model.landmarks.items()}
    jaw_line = model.jaw_line and replace(model.jaw_line, face_ids=new_id[model.jaw_line.face_ids])
    return replace(
        model, faces=model.faces[keep], uv_faces=model.uv_faces[keep], landmarks=renumbered, jaw_line=jaw_line
    )


def _missing_flame() -> Path:
    raise InputError(
        f"expected a FLAME model ({', '.join(FLAME_NAMES)}), found none in {_searched('flame')}; download it from "
        f"{FLAME_SOURCE} and put it into one of them, or name it by --model.flame_model_path or {FLAME_VARIABLE}"
    )


def _missing_gnm() -> Path:
    raise InputError(
        f"expected a GNM head (gnm_head.npz), found none at {_searched(GNM_PLACES[0])}, nor in its package's cache; "
        f"get it from {GNM_SOURCE} and put it at one of them, or name it by --model.gnm_path or {GNM_VARIABLE}"
    )


def _missing_ict() -> Path:
    raise InputError(
        f"expected ICT-FaceKit's folder FaceXModel, found none at {_searched(ICT_PLACES[0])}; get it from {ICT_SOURCE} "
        f"and put it at one of them, or name it by --model.ict_facekit_path or {ICT_VARIABLE}"
    )


def _searched(place: str) -> str:
    """`place` in every asset folder, as words."""
    return ", ".join(str(folder / place) for folder in asset_folders())
