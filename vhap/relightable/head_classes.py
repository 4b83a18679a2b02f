"""The face classes of a head model's surface, by its regions; and the outlines of brows and mouth on a posed head."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.geometry.meshes import barycentric_points
from vhap.head.model import HeadModel
from vhap.head.regions import complete_regions
from vhap.relightable.class_maps import FaceClass

REGION_CLASSES = (
    ("neck", FaceClass.NECK),
    ("boundary", FaceClass.NECK),
    ("hair", FaceClass.HAIR),
    ("left_ear", FaceClass.LEFT_EAR),
    ("right_ear", FaceClass.RIGHT_EAR),
    ("nose", FaceClass.NOSE),
    ("left_eyeball", FaceClass.LEFT_EYE),
    ("right_eyeball", FaceClass.RIGHT_EYE),
    ("teeth", FaceClass.MOUTH),
    ("teeth_upper", FaceClass.MOUTH),
    ("teeth_lower", FaceClass.MOUTH),
)
"""Later ones win where regions overlap; what is in none of them is skin. Regions that the head lacks are skin, too."""
UPPER_LIP_POINTS = (49, 50, 51, 52, 53, 61, 62, 63)
LOWER_LIP_POINTS = (55, 56, 57, 58, 59, 65, 66, 67)
"""Of the iBUG landmarks; the corners are of both."""


def head_classes(model: HeadModel) -> Tensor:
    """(F,) uint8: the class of every face of the mesh, that of most of its corners.

    The hair is the scalp's, painted on the skin; brows are not here, since head models have no region of them.
    """
    model = complete_regions(model)
    of_vertex = torch.full((model.n_vertices,), int(FaceClass.SKIN), dtype=torch.uint8, device=model.template.device)
    for name, number in REGION_CLASSES:
        if name in model.regions:
            of_vertex[model.regions[name]] = int(number)
    if "lips" in model.regions and "ibug" in model.landmarks:
        lips = model.regions["lips"]
        of_vertex[lips] = _lip_classes(model, model.template[lips])
    first, second, third = of_vertex[model.faces].unbind(-1)
    return torch.where(second == third, second, first)


def _lip_classes(model: HeadModel, vertices: Tensor) -> Tensor:
    """(N, 3) vertices of the lips -> (N,) uint8: the lip whose landmarks are nearer."""
    marks = model.landmarks["ibug"]
    points = barycentric_points(model.template, model.faces, marks.face_ids, marks.barycentrics)
    upper, lower = (points[list(ids)] for ids in (UPPER_LIP_POINTS, LOWER_LIP_POINTS))
    is_upper = torch.cdist(vertices, upper).amin(-1) < torch.cdist(vertices, lower).amin(-1)
    return torch.where(is_upper, int(FaceClass.UPPER_LIP), int(FaceClass.LOWER_LIP)).to(torch.uint8)
