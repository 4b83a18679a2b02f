"""A relightable avatar's files: good ones, and what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vhap.relightable.crop import Crop
from vhap.relightable.crop_file import CropRecord, read_crop, write_crop
from vhap.relightable.point_files import read_irises, read_keypoints, write_irises, write_keypoints

NAMES = [f"{index:05d}.png" for index in range(3)]


def subject(folder: Path) -> None:
    folder.mkdir(parents=True)
    crop = Crop((48, 64), (-4, 6, 36, 46), (32, 32), (0, 0, 64, 48))
    options = {"image_size": [32, 32], "crop_range": None, "bbox_scale": 2.2}
    write_crop(folder / "crop.json", CropRecord(crop, NAMES, ["0", "1", "2"], NAMES[1:2], {"video": "a.mp4"}, options))
    points = np.random.default_rng(0).uniform(0, 32, (68, 2))
    write_keypoints(folder / "keypoint.json", {NAMES[0]: points, NAMES[1]: None, NAMES[2]: points + 1})
    write_irises(folder / "iris.json", {NAMES[0]: points[:2], NAMES[1]: None, NAMES[2]: points[2:4]})


def use_crop(path: Path) -> None:
    record = read_crop(path)
    crop = record.crop
    assert np.isfinite(crop.matrix).all()
    assert crop.original_points(crop.cut_points(np.ones((2, 2)))).shape == (2, 2)
    assert sum(crop.padding) >= 0


def use_keypoints(path: Path) -> None:
    found = read_keypoints(path, NAMES)
    assert all(points is None or (points.shape == (68, 2) and np.isfinite(points).all()) for points in found.values())


def use_irises(path: Path) -> None:
    found = read_irises(path, NAMES)
    assert all(points is None or (points.shape == (2, 2) and np.isfinite(points).all()) for points in found.values())
