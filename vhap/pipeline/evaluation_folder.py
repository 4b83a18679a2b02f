"""`eval_<epoch>/` in a run folder: a few frames of a result as pictures and as meshes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from vhap.evaluate.frame_panels import PANELS, PanelRows
from vhap.evaluate.frame_pass import pass_over
from vhap.evaluate.grid import labelled_grid
from vhap.evaluate.jpeg import write_jpeg
from vhap.evaluate.run_scene import RunScene
from vhap.export.mesh_files import mesh_name
from vhap.export.meshes import ObjWriter, write_material
from vhap.util.choice import even_choice


def write_evaluation_folder(scene: RunScene) -> Path:
    """Grids and meshes of an even choice of frames, at most log.max_eval_frames; the number in a file's name is the row
    in the result. Returns the folder."""
    folder = scene.folder / f"eval_{scene.epoch}"
    rows = even_choice(scene.n_rows, scene.config.log.max_eval_frames)
    grids = PanelRows(scene, [ImageGrids(folder / "image_grid", scene.n_views)])
    pass_over(scene, [grids], None, rows, grids.views)
    write_meshes(folder / "mesh", scene, rows)
    return folder


class ImageGrids:
    """Takes part in a pass: `frame_%05d.jpg`, all panels of a frame."""

    def __init__(self, folder: Path, n_views: int) -> None:
        self.folder, self.columns = folder, 4 if n_views == 1 else 2

    def sure_names(self, row: int) -> Collection[str]:
        return PANELS

    def names(self, row: int) -> Collection[str]:
        return PANELS

    def add(self, row: int, panels: Mapping[str, np.ndarray]) -> None:
        write_jpeg(self.folder / f"frame_{row:05d}.jpg", labelled_grid(panels, self.columns))


def write_meshes(folder: Path, scene: RunScene, rows: list[int]) -> None:
    """`frame_%05d.obj`, metres in the tracked world, with its own `.mtl` and the albedo as `.jpg`."""
    model, albedo = scene.model, scene.albedo_bytes()
    writer = ObjWriter(model.faces.cpu().numpy(), model.uvs.cpu().numpy(), model.uv_faces.cpu().numpy())
    for row in rows:
        path = folder / mesh_name(row, "obj")
        material = path.with_suffix(".mtl")
        write_material(material, albedo, ".jpg")
        writer.write(path, scene.vertices(row).cpu().numpy(), material)
