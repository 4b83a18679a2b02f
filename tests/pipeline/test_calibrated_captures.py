"""Synthetic rigs opened as captures: the truth has to be where the given cameras see it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vhap.config.data import MultiviewDataConfig, NersembleDataConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.data.multiview import MultiviewCapture
from vhap.data.nersemble.capture import NersembleCapture
from vhap.data.rig_capture import RigCapture
from vhap.data.sample import Capture
from vhap.head.builtin import load_builtin
from vhap.pipeline.make_synthetic_capture import run
from vhap.util.files import read_json

FRAMES, CAMERAS = 2, 3
LAYOUTS = ("nersemble_v1", "nersemble_v2", "multiview")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    for layout in LAYOUTS:
        world = "similarity" if layout == "multiview" else "metric"
        run(
            SyntheticConfig(
                folder / layout, layout=layout, world=world, frames=FRAMES, cameras=CAMERAS, width=66, height=96,
                image_format="png", landmark_source="face-alignment",
            )
        )  # fmt: skip
    return folder


def open_capture(root: Path, layout: str, **options) -> RigCapture:
    options = {"sequence": "EXP-1", "landmark_source": "face-alignment", **options}
    if layout == "multiview":
        return MultiviewCapture(MultiviewDataConfig(root_folder=root / layout, **options))
    config = NersembleDataConfig(root_folder=root / layout, subject="1", layout=layout[-2:], **options)
    return NersembleCapture(config)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("scale_factor", [1.0, 0.5])
def test_the_truth_brought_into_the_aligned_world_projects_onto_its_landmarks(root, layout, aligned, scale_factor):
    capture = open_capture(root, layout, align_cameras_to_axes=aligned, scale_factor=scale_factor)
    camera = capture.given_camera()
    assert camera.fx.shape == (CAMERAS,)
    assert (camera.height, camera.width) == capture.size == (round(96 * scale_factor), round(66 * scale_factor))
    mean = camera.T_camera_world[:, :3, :3].mean(0)
    if aligned:
        assert mean[0, 0] > 0.5
        assert abs(mean[0, 1]) < 1e-5
    else:
        np.testing.assert_array_equal(capture.T_aligned_world, np.eye(4))
    turn = torch.from_numpy(capture.T_aligned_world[:3, :3]).float()
    vertices = torch.from_numpy(np.load(capture.folder / "ground_truth" / "vertices.npy")) @ turn.T
    marks, faces = load_builtin().landmarks["ibug"], load_builtin().faces
    points = (vertices[:, faces[marks.face_ids]] * marks.barycentrics[..., None]).sum(2)
    found, confidence = capture.load_landmarks()
    assert found.shape == (FRAMES, CAMERAS, 70, 2)
    # The jaw line slides with the view.
    still = marks.detector_ids >= 17
    found, confidence = found[:, :, marks.detector_ids[still]], confidence[:, :, marks.detector_ids[still]]
    for t in range(FRAMES):
        expected = camera.project(points[t, still][None])[0]
        seen = confidence[t] > 0
        assert seen.float().mean() > 0.4
        torch.testing.assert_close(found[t][seen], expected[seen], atol=2e-3, rtol=0)
    for t in range(FRAMES):
        batch = capture.load([t])
        pixels, depth = camera.project(vertices[t][None])
        assert depth.min() > 0
        inside = (pixels > 1).all(-1) & (pixels < torch.tensor(capture.size[::-1]) - 2).all(-1)
        for c in range(CAMERAS):
            x, y = pixels[c][inside[c]].long().T
            covered = torch.nn.functional.max_pool2d(batch.alpha[c][None], 3, 1, 1)[0]
            assert (covered[y, x] > 0).float().mean() > 0.99


def test_captures_are_what_tracking_asks_for(root):
    captures: list[Capture] = [open_capture(root, layout) for layout in LAYOUTS]
    for capture in captures:
        assert capture.landmark_set == "ibug"
        assert len(capture.timestep_ids) == FRAMES


def test_given_cameras_are_those_of_the_truth(root):
    capture = open_capture(root, "nersemble_v2", align_cameras_to_axes=False)
    truth = read_json(capture.folder / "ground_truth" / "cameras.json")["cameras"]
    camera = capture.given_camera()
    assert len(capture.camera_ids) == CAMERAS
    for index, serial in enumerate(capture.camera_ids):
        assert float(camera.fx[index]) == pytest.approx(truth[serial]["fx"], rel=1e-5)
        assert float(camera.cy[index]) == pytest.approx(truth[serial]["cy"], rel=1e-5)
        np.testing.assert_allclose(camera.T_camera_world[index], truth[serial]["T_camera_world"], atol=1e-6)


def test_corrected_colours_are_the_same_in_both_versions_of_the_dataset(root):
    """Person, motion and cameras are; what the cameras do to colours differs."""
    both = [open_capture(root, layout).load([0]).rgb for layout in LAYOUTS[:2]]
    raw = [open_capture(root, layout, use_color_correction=False).load([0]).rgb for layout in LAYOUTS[:2]]
    assert (both[0] - both[1]).abs().mean() < 0.8 / 255
    assert (raw[0] - raw[1]).abs().mean() > 3 / 255
