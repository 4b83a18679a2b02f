"""Reads binary glTF 2.0 by the letter of its specification, apart from the code that writes it."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

DTYPES = {5121: np.uint8, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass
class Glb:
    tree: dict
    binary: bytes

    @property
    def primitive(self) -> dict:
        return self.tree["meshes"][0]["primitives"][0]

    def accessor(self, index: int) -> np.ndarray:
        """(count, width), matrices column by column; checked against the bounds that the file tells."""
        about = self.tree["accessors"][index]
        view = self.tree["bufferViews"][about["bufferView"]]
        start = view.get("byteOffset", 0) + about.get("byteOffset", 0)
        dtype, width = np.dtype(DTYPES[about["componentType"]]), WIDTHS[about["type"]]
        assert start % dtype.itemsize == 0
        size = about["count"] * width * dtype.itemsize
        assert about.get("byteOffset", 0) + size <= view["byteLength"]
        values = np.frombuffer(self.binary[start : start + size], dtype).reshape(-1, width)
        if "min" in about:
            np.testing.assert_array_equal(values.min(0), np.array(about["min"], dtype))
            np.testing.assert_array_equal(values.max(0), np.array(about["max"], dtype))
        return values

    def attribute(self, name: str) -> np.ndarray:
        return self.accessor(self.primitive["attributes"][name])

    def times(self) -> np.ndarray:
        return self.accessor(self.tree["animations"][0]["samplers"][0]["input"])[:, 0]

    def keyframe(self, number: int) -> tuple[list[dict], np.ndarray]:
        """The nodes and the morph weights at one of the animation's times."""
        nodes = [dict(node) for node in self.tree["nodes"]]
        weights = np.array(self.tree["meshes"][0]["weights"])
        (animation,) = self.tree["animations"]
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            assert sampler["interpolation"] == "LINEAR"
            output = self.accessor(sampler["output"]).reshape(len(self.times()), -1)[number]
            if channel["target"]["path"] == "weights":
                assert "mesh" in nodes[channel["target"]["node"]]
                weights = output
            else:
                nodes[channel["target"]["node"]][channel["target"]["path"]] = output
        return nodes, weights

    def vertices(self, number: int) -> np.ndarray:
        """(N, 3) in the scene at one of the animation's times: morph targets, then skin or node transforms."""
        nodes, weights = self.keyframe(number)
        points = self.attribute("POSITION").astype(float)
        for target, weight in zip(self.primitive["targets"], weights):
            points = points + weight * self.accessor(target["POSITION"])
        places = world_transforms(nodes, self.tree["scenes"][self.tree["scene"]]["nodes"])
        (mesh_node,) = (index for index, node in enumerate(nodes) if "mesh" in node)
        if "skin" not in nodes[mesh_node]:
            return apply(places[mesh_node], points)
        skin = self.tree["skins"][nodes[mesh_node]["skin"]]
        inverse_bind = self.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        moved = np.stack([apply(places[node] @ bind, points) for node, bind in zip(skin["joints"], inverse_bind)])
        total, shares = np.zeros_like(points), 0
        for number in range(sum(name.startswith("JOINTS") for name in self.primitive["attributes"])):
            share, ids = self.attribute(f"WEIGHTS_{number}"), self.attribute(f"JOINTS_{number}")
            total += (share[..., None] * moved[ids.T, np.arange(len(points))].swapaxes(0, 1)).sum(1)
            shares = shares + share.sum(1)
        np.testing.assert_allclose(shares, 1, atol=1e-5)
        return total


def read_glb(path: Path) -> Glb:
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    chunks, place = {}, 12
    while place < length:
        size, kind = struct.unpack_from("<I4s", content, place)
        assert size % 4 == 0
        chunks[kind] = content[place + 8 : place + 8 + size]
        place += 8 + size
    return Glb(json.loads(chunks[b"JSON"]), chunks[b"BIN\0"])


def world_transforms(nodes: list[dict], roots: list[int]) -> dict[int, np.ndarray]:
    """Node -> (4, 4), parents first."""
    places: dict[int, np.ndarray] = {}

    def walk(index: int, above: np.ndarray) -> None:
        node = nodes[index]
        local = np.eye(4)
        turn = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
        local[:3, :3] = turn * np.array(node.get("scale", [1, 1, 1]))
        local[:3, 3] = node.get("translation", [0, 0, 0])
        assert index not in places
        places[index] = above @ local
        for child in node.get("children", []):
            walk(child, places[index])

    for root in roots:
        walk(root, np.eye(4))
    return places


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ transform[:3, :3].T + transform[:3, 3]
