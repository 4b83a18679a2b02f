"""Exported glTF files by readers of others: pygltflib, and Khronos' validator where it is found.

`VHAP_GLTF_VALIDATOR` names the folder in which `npm install gltf-validator` was run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import COUNT, make_result, make_run

from vhap import cli
from vhap.head.load import load_head
from vhap.head.model import HeadModel

REPORT = """
const validator = require("gltf-validator"), fs = require("fs");
const bytes = new Uint8Array(fs.readFileSync(process.argv[1]));
validator.validateBytes(bytes, { maxIssues: 20 }).then(report => console.log(JSON.stringify(report.issues)));
"""


def moving_head(influences: int) -> HeadModel:
    """The built-in head, or one with so many joints at every vertex, and pose correctives."""
    head = load_head("builtin", n_shape=5)
    if not influences:
        return head
    generator = torch.Generator().manual_seed(2)
    weights = torch.rand(head.n_vertices, 5, generator=generator)
    basis = torch.randn(head.n_vertices, 3, 36, generator=generator) * 0.01
    return replace(head, pose_basis=basis, weights=weights / weights.sum(1, keepdim=True))


@pytest.fixture(params=[("blendshapes", 0), ("frames", 0), ("blendshapes", 5)], ids=lambda case: f"{case[0]}{case[1]}")
def glb(request, tmp_path: Path, monkeypatch) -> tuple[Path, HeadModel]:
    animation, influences = request.param
    torch.set_num_threads(1)
    head = moving_head(influences)
    monkeypatch.setattr("vhap.pipeline.heads.load_head", lambda *options, **more: head)
    random = np.random.default_rng(3)
    expr = random.uniform(0, 1, (COUNT, head.n_expr)).astype(np.float32)
    albedo = random.integers(0, 256, (3, 32, 32)).astype(np.float32) / 255
    source = make_run(tmp_path, head, replace(make_result(head), expr=expr, albedo=albedo))
    options = ["--format", "gltf", "--gltf_animation", animation]
    cli.main(["export-mesh", "--src_folder", str(source), "--tgt-folder", str(tmp_path / "M"), *options])
    return tmp_path / "M/head.glb", head


def test_pygltflib_reads_mesh_skin_and_animation(glb) -> None:
    pygltflib = pytest.importorskip("pygltflib")
    path, head = glb
    file = pygltflib.GLTF2().load_binary(str(path))
    content = file.binary_blob()

    def values(index: int, dtype: type, width: int) -> np.ndarray:
        accessor = file.accessors[index]
        view = file.bufferViews[accessor.bufferView]
        start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
        return np.frombuffer(content, dtype, accessor.count * width, start).reshape(-1, width)

    (mesh,), (animation,) = file.meshes, file.animations
    (part,) = mesh.primitives
    triangles = values(part.indices, np.uint32, 1).reshape(-1, 3)
    assert len(triangles) == len(head.faces)
    places = values(part.attributes.POSITION, np.float32, 3)
    assert triangles.max() == len(places) - 1
    of_frames = mesh.extras["targetNames"][0] == "frame_00000"
    assert len(file.skins) == (0 if of_frames else 1)
    if not of_frames:
        shape = torch.from_numpy(make_result(head).shape)
        neutral = head.template + head.shape_basis @ shape
        np.testing.assert_allclose(places[triangles], neutral[head.faces].numpy(), atol=1e-5)
        assert len(file.skins[0].joints) == 5
        assert (values(part.attributes.WEIGHTS_0, np.float32, 4).sum(1) <= 1 + 1e-6).all()
    assert len(part.targets) == len(mesh.weights) == len(mesh.extras["targetNames"]) >= COUNT
    assert {view.target for view in file.bufferViews} == {None, pygltflib.ARRAY_BUFFER, pygltflib.ELEMENT_ARRAY_BUFFER}
    clocks = {sampler.input for sampler in animation.samplers}
    assert len(clocks) == 1
    assert len(values(clocks.pop(), np.float32, 1)) == COUNT
    paths = {channel.target.path for channel in animation.channels}
    assert paths >= {"weights"}


def test_the_validator_of_khronos_finds_nothing(glb) -> None:
    folder, node = os.environ.get("VHAP_GLTF_VALIDATOR"), shutil.which("node")
    if not folder or not node:
        pytest.skip("no node, or VHAP_GLTF_VALIDATOR names no folder with gltf-validator")
    path, _ = glb
    done = subprocess.run([node, "-e", REPORT, str(path)], cwd=folder, capture_output=True, text=True, check=True)
    issues = json.loads(done.stdout)
    assert [issues[name] for name in ("numErrors", "numWarnings", "numInfos", "numHints")] == [0] * 4, issues
