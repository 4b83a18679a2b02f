"""What a head's vertices look like by each mode."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vhap.data.frame_cache import Frame
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.builtin import load_builtin
from vhap.head.regions import complete_regions
from vhap.render.shading import uniform_lights
from vhap.viewer import colours


@pytest.fixture(scope="module")
def head():
    return complete_regions(load_builtin())


def test_albedo_of_vertices_is_that_of_the_texture_around_them(head):
    flat = np.full((300, 300, 3), (200, 100, 50), np.uint8)
    wanted = np.tile(np.array([[200, 100, 50]]) / 255, (head.n_vertices, 1))
    np.testing.assert_allclose(colours.vertex_albedo(head, flat), wanted, atol=1e-6)
    rows = np.repeat(np.linspace(255, 0, 256).round().astype(np.uint8)[:, None, None], 256, 1).repeat(3, 2)
    sampled = colours.vertex_albedo(head, rows)[head.faces[:, 0], 0]
    # Vertices on seams have several coordinates, of which one counts.
    assert np.mean(np.abs(sampled - head.uvs[head.uv_faces[:, 0], 1].numpy()) < 0.01) > 0.9


def test_uniform_light_changes_nothing_and_is_mid_grey(head):
    normals = colours.normals_of(head, head.template)
    shading = colours.vertex_shading(normals, uniform_lights())
    albedo = np.full((head.n_vertices, 3), 0.4)
    np.testing.assert_allclose(colours.lit(albedo, shading), albedo, atol=1e-5)
    np.testing.assert_allclose(colours.shading_colours(shading), 0.5, atol=1e-5)
    np.testing.assert_allclose(colours.vertex_shading(normals, None), 1)


def test_normals_are_in_the_camera_s_axes(head):
    normals = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
    wanted = [[0.5, 0.5, 1], [1, 0.5, 0.5], [0.5, 0, 0.5]]
    np.testing.assert_allclose(colours.normal_colours(normals, torch.eye(3)), wanted)
    behind = torch.diag(torch.tensor([-1.0, 1, -1]))
    np.testing.assert_allclose(colours.normal_colours(normals[:1], behind), [[0.5, 0.5, 0]])


def test_heat_grows_with_the_error_and_unseen_vertices_are_grey():
    shown = colours.heat(np.array([0.0, 0.1, 0.25, 9.0, np.nan]))
    assert shown[:3].sum(1).tolist() == sorted(shown[:3].sum(1).tolist())
    np.testing.assert_array_equal(shown[2], shown[3])
    np.testing.assert_allclose(shown[4], colours.UNSEEN)


def test_distances_between_meshes():
    first = np.random.default_rng(1).normal(0, 0.1, (50, 3))
    turn = axis_angle_to_matrix(torch.tensor([0.1, 0.4, -0.2], dtype=torch.float64)).numpy()
    second = first @ turn.T + [0.03, -0.01, 0.2]
    assert colours.distances(first, second, aligned=False).min() > 0.01
    np.testing.assert_allclose(colours.distances(first, second, aligned=True), 0, atol=1e-12)
    nearer = first + np.array([0, 0, 0.002])
    np.testing.assert_allclose(colours.distances(first, nearer, aligned=False), 0.002)


def test_a_region_turns_green(head):
    grey = np.full((head.n_vertices, 3), 0.5)
    lips = head.regions["lips"].numpy()
    marked = colours.highlighted(grey, lips)
    assert (marked[lips].argmax(1) == 1).all()
    others = np.setdiff1d(np.arange(head.n_vertices), lips)
    assert np.abs(marked[others] - 0.5).max() == 0
    assert np.abs(grey - 0.5).max() == 0


def test_errors_are_those_of_the_picture_where_it_shows_a_vertex(two_frames):
    scene, frame = two_frames
    truth = (scene.render(0)[0].picture[0].clamp(0, 0.89) * 255).round().byte().numpy()
    nothing, tenth = (
        colours.vertex_errors(replace(frame.together, pictures=[Frame(rgb, None)]).frames()[0])
        for rgb in (truth, truth + np.uint8(26))
    )
    seen = ~np.isnan(tenth)
    assert 0.2 < seen.mean() < 0.7
    # Where a vertex stands on the outline, its pixel is in part of what lies behind.
    assert np.median(tenth[seen]) == pytest.approx(26 / 255, abs=3e-3)
    assert np.mean(np.abs(tenth[seen] - 0.1) < 0.03) > 0.9
    assert np.nanquantile(nothing, 0.95) < 0.01
    # The back of the head is not in a picture from the front, but for triangles that reach round its outline.
    back = frame.vertices[:, 2].numpy() < np.quantile(frame.vertices[:, 2].numpy(), 0.1)
    assert seen[back].mean() < 0.03


@pytest.fixture
def two_frames(viewed_run):
    from vhap.evaluate.frame_pass import rendered_frame
    from vhap.pipeline.open_run import open_run

    scene = open_run(viewed_run, with_landmarks=False)
    return scene, rendered_frame(scene, 0)
