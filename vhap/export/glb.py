"""Binary glTF 2.0: trimesh writes the mesh, its material and the file; what it cannot write is put in on the way."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from trimesh.exchange.gltf import export_glb

from vhap.util.files import atomic_path

COMPONENT = {np.dtype(np.float32): 5126, np.dtype(np.uint8): 5121}
VERTICES, INDICES = 34962, 34963
"""Kinds of buffer views."""
KINDS = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


class GltfTree:
    """The file's JSON `tree` before it is written, with its one mesh in it, and the buffers that go along."""

    def __init__(self, buffers: MutableMapping[Any, bytes], tree: dict[str, Any]) -> None:
        self.buffers = buffers
        self.tree = tree

    @property
    def mesh(self) -> dict[str, Any]:
        return self.tree["meshes"][0]

    def add(self, values: np.ndarray) -> int:
        """An accessor for values (N,), (N, 3), (N, 4) or (N, 4, 4), float32 or uint8; returns its index.

        Matrices are given by rows and stored by columns, as glTF has them.
        """
        kind = KINDS[values.shape[1:]]
        stored = values.swapaxes(1, 2) if kind == "MAT4" else values
        content = np.ascontiguousarray(stored).tobytes()
        index = len(self.tree["accessors"])
        accessor = {
            "bufferView": len(self.buffers),
            "componentType": COMPONENT[values.dtype],
            "count": len(values),
            "type": kind,
        }
        if kind != "MAT4":
            flat = values.reshape(len(values), -1)
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.buffers[("added", index)] = content + b"\0" * (-len(content) % 4)
        self.tree["accessors"][("added", index)] = accessor
        return index

    def add_targets(self, moves: Sequence[np.ndarray], names: Sequence[str]) -> None:
        """Morph targets of the mesh: moves (N, 3) float32 in the order of its vertices, metres at weight 1."""
        self.mesh["primitives"][0]["targets"] = [{"POSITION": self.add(move)} for move in moves]
        self.mesh["weights"] = [0.0] * len(moves)
        # Where Blender, three.js and others look for the names; the format has no place for them.
        self.mesh["extras"] = {"targetNames": list(names)}

    def add_skin(self, joints: Sequence[int], inverse_bind: np.ndarray, weights: np.ndarray) -> None:
        """joints: their nodes; inverse_bind (J, 4, 4); weights (N, J), rows that sum to one.

        As many sets of four influences as a vertex needs; readers have to support the first one only.
        """
        order = np.argsort(-weights, axis=1, kind="stable")
        sorted_weights = np.take_along_axis(weights, order, 1)
        attributes = self.mesh["primitives"][0]["attributes"]
        for number, first in enumerate(range(0, max(1, int((weights > 0).sum(1).max())), 4)):
            of_set = sorted_weights[:, first : first + 4]
            room = ((0, 0), (0, 4 - of_set.shape[1]))
            ids = np.where(of_set > 0, order[:, first : first + 4], 0)
            attributes[f"JOINTS_{number}"] = self.add(np.pad(ids, room).astype(np.uint8))
            attributes[f"WEIGHTS_{number}"] = self.add(np.pad(of_set, room).astype(np.float32))
        self.tree["skins"] = [
            {"joints": list(joints), "inverseBindMatrices": self.add(inverse_bind.astype(np.float32))}
        ]

    def set_nodes(self, nodes: list[dict[str, Any]], roots: list[int]) -> None:
        """The scene's nodes, in place of trimesh's own."""
        self.tree["nodes"] = nodes
        self.tree["scenes"][0]["nodes"] = roots

    def animate(self, times_s: np.ndarray, tracks: Sequence[tuple[int, str, np.ndarray]]) -> None:
        """One animation, linear between its times (T,): tracks of node, path and values (T, ...).

        Paths: translation (T, 3), rotation (T, 4) as x y z w, weights (T, number of targets).
        """
        clock = self.add(times_s.astype(np.float32))
        samplers, channels = [], []
        for node, path, values in tracks:
            values = values.reshape(-1) if path == "weights" else values
            channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
            samplers.append({"input": clock, "output": self.add(values.astype(np.float32)), "interpolation": "LINEAR"})
        self.tree["animations"] = [{"name": "tracked", "samplers": samplers, "channels": channels}]


def mark_views(tree: dict[str, Any]) -> None:
    """Says of every part of the buffer that holds vertices or indices which of the two it is, so that readers can hand
    it to a graphics card as it is."""
    for primitive in (primitive for mesh in tree["meshes"] for primitive in mesh["primitives"]):
        targets = [index for target in primitive.get("targets", ()) for index in target.values()]
        for target, accessors in (
            (VERTICES, [*primitive["attributes"].values(), *targets]),
            (INDICES, [primitive["indices"]]),
        ):
            for index in accessors:
                tree["bufferViews"][tree["accessors"][index]["bufferView"]]["target"] = target


def write_glb(path: Path, mesh: trimesh.Trimesh, extend: Callable[[GltfTree], None]) -> None:
    """One mesh with smooth normals as a .glb file; `extend` adds to it before it is written."""
    content = export_glb(
        trimesh.Scene({"head": mesh}),
        include_normals=True,
        buffer_postprocessor=lambda buffers, tree: extend(GltfTree(buffers, tree)),
        tree_postprocessor=mark_views,
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
