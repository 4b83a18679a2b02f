"""The schedule that optimize.py is measured against, on landmarks of a known head, without pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import relightable_adam as adam
import torch
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "pipeline"))

from flame_like_builtin import write_builtin_as_flame
from trainer_reader import Flame, HravatarReader

from vhap.head.load import load_head
from vhap.relightable.head_files import HeadCode, codes_text

COUNT, SIZE, FOCAL = 4, 128, 2.4


@pytest.fixture(scope="module")
def flame(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return write_builtin_as_flame(tmp_path_factory.mktemp("flame"), patch)


def test_landmarks_are_approached_and_a_trainer_places_them_there(tmp_path, monkeypatch, flame) -> None:
    monkeypatch.setattr(adam, "ALL_STEPS", 100)
    monkeypatch.setattr(adam, "EYE_STEPS", 50)
    whole = load_head("flame", flame, n_shape=100, n_expr=100, add_teeth=False)
    head = adam.landmark_head(whole)
    random = torch.Generator().manual_seed(1)
    true_pose = 0.1 * torch.randn(COUNT, 15, generator=random)
    true_pose[:, 6:9] = 0
    moved = adam.Unknowns(
        torch.randn(100, generator=random), 0.3 * torch.rand(COUNT, 100, generator=random), true_pose,
        0.01 * torch.randn(COUNT, 3, generator=random),
    )  # fmt: skip
    target = adam.projected(head, moved, FOCAL).detach()
    names = [f"{row:05d}.png" for row in range(COUNT)]
    (tmp_path / "image").mkdir()
    for name in names:
        Image.new("RGBA", (SIZE, SIZE)).save(tmp_path / "image" / name)
    code = HeadCode(np.zeros(100), np.zeros(50), np.zeros(6), np.zeros(3))
    (tmp_path / "code.json").write_text(codes_text(dict.fromkeys(names, code)))
    unknowns = adam.start(whole, tmp_path, COUNT)
    before = (adam.projected(head, unknowns, FOCAL) - target).norm(dim=-1).mean()
    adam.fit(head, unknowns, target, FOCAL)
    found = adam.projected(head, unknowns, FOCAL).detach()
    assert (found - target).norm(dim=-1).mean() < 0.25 * before
    adam.write(tmp_path / "tracked_params.json", names, unknowns, FOCAL * SIZE, SIZE)
    reader = HravatarReader(tmp_path, Flame(flame), n_expr=100)
    for row, path in enumerate(reader.paths):
        px = reader.flame.marked_px(reader.projected(path))
        np.testing.assert_allclose(px, ((found[row] + 1) * SIZE / 2).numpy(), atol=0.02)
