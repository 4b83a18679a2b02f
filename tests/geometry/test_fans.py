"""Vertex normals by single vertices, on a mesh with open borders."""

import torch
from torch.func import jacfwd

from vhap.geometry.fans import fans_of
from vhap.geometry.meshes import summed_normals

# A tent over a square: vertex 4 has a closed fan, the others open ones; vertex 5 has no face.
FACES = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
COUNT = 6


def test_edges_of_a_vertex_lead_to_its_neighbours():
    fans = fans_of(COUNT, FACES)
    owner, edge, counts = fans.edges_of(torch.tensor([4, 5, 0]))
    assert counts.tolist() == [4, 0, 3]
    assert owner.tolist() == [0] * 4 + [2] * 3
    assert fans.neighbour[edge].tolist() == [0, 1, 2, 3, 1, 3, 4]


def test_normals_turn_as_autograd_finds():
    vertices = torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    expected = jacfwd(lambda places: summed_normals(places, FACES))(vertices)
    fans = fans_of(COUNT, FACES)
    across, unit = fans.across(vertices), torch.eye(3, dtype=torch.double)
    found = torch.zeros_like(expected)
    for centre in range(COUNT):
        _, edges, _ = fans.edges_of(torch.tensor([centre]))
        for edge in edges.tolist():
            turned = torch.linalg.cross(unit, across[edge].expand(3, 3)).T
            found[centre, :, fans.neighbour[edge]] = turned
            found[centre, :, centre] -= turned
    torch.testing.assert_close(found, expected)
