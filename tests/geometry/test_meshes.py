import torch

from vhap.geometry.meshes import barycentric_points, open_edges, unique_edges, vertex_normals

TETRAHEDRON = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def test_normals_point_outwards_with_length_one() -> None:
    normals = vertex_normals(TETRAHEDRON, FACES)
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(4))
    assert ((TETRAHEDRON - TETRAHEDRON.mean(0)) * normals).sum(1).min() > 0


def test_normals_weigh_faces_by_area_and_turn_with_the_mesh() -> None:
    batch = torch.stack([TETRAHEDRON, TETRAHEDRON @ torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]).T])
    normals = vertex_normals(batch, FACES)
    torch.testing.assert_close(normals[1], normals[0] @ torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]).T)


def test_a_vertex_without_a_face_has_no_normal() -> None:
    lonely = torch.cat([TETRAHEDRON, torch.ones(1, 3)])
    assert (vertex_normals(lonely, FACES)[4] == 0).all()


def test_edges_of_a_closed_and_an_opened_surface() -> None:
    assert len(unique_edges(FACES)) == 6
    assert len(open_edges(FACES)) == 0
    assert open_edges(FACES[:3]).tolist() == [[1, 2], [1, 3], [2, 3]]


def test_edges_come_in_ascending_order_with_the_faces_type_and_any_number_of_vertices():
    faces = torch.randint(0, 40, (200, 3), generator=torch.Generator().manual_seed(0), dtype=torch.int32) * 50_000_000
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    edges, count = torch.unique(pairs, dim=0, return_counts=True)
    torch.testing.assert_close(unique_edges(faces), edges, rtol=0, atol=0)
    torch.testing.assert_close(open_edges(faces), edges[count == 1], rtol=0, atol=0)


def test_barycentric_points_interpolate() -> None:
    points = barycentric_points(
        TETRAHEDRON[None], FACES, torch.tensor([3, 0]), torch.tensor([[1 / 3] * 3, [0.0, 1, 0]])
    )
    torch.testing.assert_close(points[0], torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.0, 1, 0]]))
