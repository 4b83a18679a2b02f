"""The classes of a head's surface by its regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.relightable.class_maps import FaceClass
from vhap.relightable.head_classes import head_classes


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("builtin", n_shape=2, n_expr=2)


def test_every_part_is_where_it_is_on_a_head(head: HeadModel) -> None:
    classes = head_classes(head)
    assert classes.shape == (len(head.faces),)
    assert classes.dtype == torch.uint8
    middles = head.template[head.faces].mean(1)
    x, y, z = (
        {FaceClass(int(k)): float(middles[classes == k, axis].mean()) for k in classes.unique()} for axis in range(3)
    )
    left_out = ("LEFT_BROW", "RIGHT_BROW", "EYE_GLASSES", "EARRING", "MOUTH", "NECKLACE", "CLOTH", "HAT", "BACKGROUND")
    assert set(FaceClass) - set(x) == {FaceClass[name] for name in left_out}
    assert x[FaceClass.LEFT_EYE] > 0.02 > -0.02 > x[FaceClass.RIGHT_EYE]
    assert x[FaceClass.LEFT_EAR] > 0.05 > -0.05 > x[FaceClass.RIGHT_EAR]
    order = [
        FaceClass.HAIR,
        FaceClass.LEFT_EYE,
        FaceClass.NOSE,
        FaceClass.UPPER_LIP,
        FaceClass.LOWER_LIP,
        FaceClass.NECK,
    ]
    assert [y[part] for part in order] == sorted((y[part] for part in order), reverse=True)
    assert z[FaceClass.NOSE] > z[FaceClass.LEFT_EYE] > z[FaceClass.LEFT_EAR]


def test_a_head_without_regions_is_skin(head: HeadModel) -> None:
    bare = replace(head, regions={}, landmarks={})
    np.testing.assert_array_equal(head_classes(bare).numpy(), int(FaceClass.SKIN))
