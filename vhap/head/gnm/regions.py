"""Regions of a GNM head: its vertex groups under this project's names, and what it has no group for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from vhap.geometry.meshes import vertex_normals
from vhap.head.gnm.file import CORNEAS, EYES, JOINTS, LOWER_LIP, SKIN, TEETH, TONGUE, UPPER_LIP, GnmFile
from vhap.head.region_bases import RIM_WIDTH, near_lowest_rim

MIDDLE_OF_FACE = 0.5
"""Height, from the chin to the eyes, below which skin beside the face is the neck's."""

SOCKET_REACH = 1.6
"""From an eye's middle, in its radii: skin that looks at the eye there is the inside of lids and socket."""
LID_REACH = 1.4
"""Likewise: the lids about the opening."""

Masks = Mapping[str, np.ndarray]


def group_regions(gnm: GnmFile, kept: np.ndarray, faces: np.ndarray) -> dict[str, torch.Tensor]:
    """Name -> vertex ids of the tracked mesh: file vertices `kept` (N,), faces (F, 3) in its own ids. Regions whose
    groups the file lacks are left out."""
    template = gnm["template_vertex_positions"][kept]
    found = _named(gnm, kept, template[:, 0] > 0)
    found |= _lids(gnm, kept, faces, found)
    found |= _derived(gnm, kept, faces, found)
    return {name: torch.from_numpy(mask.nonzero()[0]) for name, mask in found.items() if mask.any()}


def _named(gnm: GnmFile, kept: np.ndarray, left: np.ndarray) -> dict[str, np.ndarray]:
    def group(*names: str) -> np.ndarray:
        return gnm.group(*names)[kept]

    inside, irises = group("mouth_sock", "gums", TONGUE), group("irises", "pupils")
    teeth = group("teeth") if gnm.has_group("teeth") else group(*TEETH)
    lids, ears = group("eye_sockets"), group("ears")
    found = {
        "face": (group("hockey_mask") | lids) & group(SKIN) if gnm.has_group("hockey_mask") else group("hockey_mask"),
        "lips": group(*UPPER_LIP, *LOWER_LIP),
        "lip_inside": inside & ~teeth,
        "teeth": teeth,
        "teeth_upper": teeth & group(TEETH[0]),
        "teeth_lower": teeth & group(TEETH[1]),
        "nose": group("nose_region", "nose"),
        "forehead": group("forehead_region", "forehead"),
        "scalp": group("scalp"),
        "eyelids": lids,
    }
    for side, eye, mask in zip(("left", "right"), EYES, (left, ~left)):
        found[f"{side}_eyeball"] = group(eye) & ~group(CORNEAS)
        found[f"{side}_iris"] = irises & group(eye)
        found[f"{side}_eyelids"] = lids & mask
        found[f"{side}_ear"] = ears & mask
        if gnm.has_group(f"{side}_orbital_region"):
            found[f"{side}_eye_region"] = group(f"{side}_orbital_region") | lids & mask
    return {name: mask for name, mask in found.items() if mask.any()}


def _lids(gnm: GnmFile, kept: np.ndarray, faces: np.ndarray, named: Masks) -> dict[str, np.ndarray]:
    """eye_sockets: what is hidden inside of lids and sockets, and so neither lid nor face; upper_eyelids and
    lower_eyelids: about each opening, above and below the line through its corners."""
    template = gnm["template_vertex_positions"][kept]
    normals = vertex_normals(torch.from_numpy(template), torch.from_numpy(faces)).numpy()
    skin, hidden = gnm.group(SKIN)[kept], np.zeros(len(kept), bool)
    upper, lower = hidden.copy(), hidden.copy()
    for side in ("left", "right"):
        eye = template[named[f"{side}_eyeball"]]
        middle, radius = (eye.min(0) + eye.max(0)) / 2, np.ptp(eye, axis=0)[:2].mean() / 2
        away = template - middle
        length = np.linalg.norm(away, axis=1)
        inside = skin & (length < SOCKET_REACH * radius) & ((normals * away).sum(1) < 0)
        lid = skin & ~inside & (length < LID_REACH * radius) & (away[:, 2] > 0) & named.get("eyelids", skin)
        if lid.any():
            rim = lid & (length <= np.quantile(length[lid], 0.3))
            ends = template[rim][[template[rim, 0].argmin(), template[rim, 0].argmax()]]
            line = np.interp(template[:, 0], ends[:, 0], ends[:, 1])
            upper |= lid & (template[:, 1] >= line)
            lower |= lid & (template[:, 1] < line)
        hidden |= inside
    visible = ("face", "eyelids", "left_eyelids", "right_eyelids", "left_eye_region", "right_eye_region")
    found = {name: named[name] & ~hidden for name in visible if name in named}
    return found | {"eye_sockets": hidden, "upper_eyelids": upper, "lower_eyelids": lower}


def _derived(gnm: GnmFile, kept: np.ndarray, faces: np.ndarray, named: Masks) -> dict[str, np.ndarray]:
    """boundary: near the mesh's lower rim; neck: below the face; scalp: the rest of the skin, where no group is it."""
    if "face" not in named:
        return {}
    template, joints = gnm["template_vertex_positions"][kept], gnm["template_joint_positions"]
    eyes = joints[[JOINTS.index(name) for name in EYES]]
    unit, none = float(np.linalg.norm(eyes[0] - eyes[1])), np.zeros(len(kept), bool)
    outside = gnm.group(SKIN)[kept] & ~named.get("lip_inside", none) & ~named["eye_sockets"]
    rim = near_lowest_rim(torch.from_numpy(template), torch.from_numpy(faces), RIM_WIDTH * unit).numpy()
    rest = outside & ~named["face"] & ~named.get("left_ear", none) & ~named.get("right_ear", none)
    boundary = outside & rim & ~named["face"]
    chin = template[named["face"], 1].min()
    low = template[:, 1] < chin + MIDDLE_OF_FACE * (eyes[:, 1].mean() - chin)
    scalp = named.get("scalp", rest & ~low) & ~boundary
    return {"boundary": boundary, "neck": rest & low & ~boundary & ~scalp, "scalp": scalp}
