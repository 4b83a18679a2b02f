"""Vertex normals by single vertices, on meshes with open borders and with edges of several triangles."""

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd

from vhap.geometry.fans import Fans, fans_of
from vhap.geometry.meshes import summed_normals

# A tent over a square: vertex 4 has a closed fan, the others open ones; vertex 5 has no face.
TENT = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
# Three triangles on one edge, two of which run along it the same way.
BOOK = torch.tensor([[0, 1, 2], [0, 1, 3], [1, 0, 4]])
COUNT = 6


def points() -> Tensor:
    return torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def edges_of(fans: Fans, centre: int) -> range:
    return range(int(fans.start[centre]), int(fans.start[centre + 1]))


def test_edges_of_a_vertex_lead_to_its_neighbours():
    fans = fans_of(COUNT, TENT)
    neighbours = [[int(fans.neighbour[edge]) for edge in edges_of(fans, centre)] for centre in (4, 5, 0)]
    assert neighbours == [[0, 1, 2, 3], [], [1, 3, 4]]
    assert fans.most == 4


@pytest.mark.parametrize("faces", [TENT, BOOK], ids=["tent", "book"])
def test_normals_are_half_the_sum_over_edges_and_turn_as_autograd_finds(faces):
    vertices, fans = points(), fans_of(COUNT, faces)
    turned = jacfwd(lambda places: summed_normals(places, faces))(vertices)
    normals, found = torch.zeros_like(vertices), torch.zeros_like(turned)
    for centre in range(COUNT):
        for edge in edges_of(fans, centre):
            across = vertices[fans.after[edge]] - vertices[fans.before[edge]]
            neighbour = int(fans.neighbour[edge])
            normals[centre] += torch.linalg.cross(vertices[neighbour] - vertices[centre], across) / 2
            moved = torch.linalg.cross(torch.eye(3, dtype=torch.double), across.expand(3, 3)).T
            found[centre, :, neighbour] += moved
            found[centre, :, centre] -= moved
    torch.testing.assert_close(normals, summed_normals(vertices, faces))
    torch.testing.assert_close(found, turned)


def test_a_mesh_without_triangles_has_no_edges():
    fans = fans_of(3, torch.zeros(0, 3, dtype=torch.long))
    assert fans.start.tolist() == [0, 0, 0, 0]
    assert fans.most == 0
