"""The joined points of the mesh are those that MediaPipe draws."""

import pytest

from vhap.detect.mesh_edges import mesh_edges


def test_edges_are_those_that_mediapipe_draws() -> None:
    edges = mesh_edges()
    assert len(edges) == len(set(edges)) == 1322
    assert {point for edge in edges for point in edge} == set(range(468))
    connections = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    assert set(edges) == {(min(edge), max(edge)) for edge in connections.FACEMESH_TESSELATION}
