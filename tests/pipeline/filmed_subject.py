"""A filmed head's pictures and true landmarks as a relightable avatar's subject."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from vhap.data.landmark_files import load_landmarks


def write_filmed_subject(film: Path, subject: Path) -> Path:
    """image/ RGBA of a synthetic film, keypoint.json and iris.json as other tools write them: [xa, ya, xb, yb] with the
    eye on the image's right first."""
    (subject / "image").mkdir(parents=True)
    points = load_landmarks(film / "landmark2d" / "face-alignment.npz").points
    keypoints, irises = {}, {}
    for row, path in enumerate(sorted((film / "images").iterdir())):
        picture = cv2.imread(str(path))
        matte = cv2.imread(str(film / "alpha_maps" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        name = f"{row:05d}.png"
        cv2.imwrite(str(subject / "image" / name), np.dstack([picture, matte]))
        pixels = points[row, :, :2] * (picture.shape[1], picture.shape[0])
        keypoints[name] = pixels[:68].tolist()
        irises[name] = pixels[[69, 68]].ravel().tolist()
    (subject / "keypoint.json").write_text(json.dumps(keypoints))
    (subject / "iris.json").write_text(json.dumps(irises))
    return subject
