"""nerfstudio's transforms.json: RGBA pictures, masks of what counts, cameras and first points."""

from __future__ import annotations

from typing import Any

import numpy as np

from vhap.data.png import encode_png
from vhap.export.files import TargetFiles, json_text
from vhap.export.layouts.base import Job, LayoutRules, marked
from vhap.export.layouts.scene import Scene, View
from vhap.export.layouts.scene_points import ply, scene_points
from vhap.export.nerf_dataset import camera_to_world, intrinsics
from vhap.util.optional import import_or_explain

OUTLINE_SHARE = 0.03
"""Width of the band around the person, in picture widths, whose being empty counts."""
OPTIONS = ("stands_still", "masks", "world", "center_head")
NO_EFFECT = {"background_color": "pictures are RGBA"}

RULES = LayoutRules(
    readers="nerfstudio (nerfacto, splatfacto)",
    target=marked(
        "nerfstudio", images=r"\d{5,}_\d{2,}\.png", masks=r"\d{5,}_\d{2,}\.png", _root=r"transforms\.json|points\.ply"
    ),
    one_camera=False,
    options=OPTIONS,
    no_effect=NO_EFFECT,
)


class Nerfstudio:
    """Masks: 255 counts, 0 does not."""

    def __init__(self, job: Job) -> None:
        self.files, self.with_masks = job.files, job.config.masks
        self.scene = Scene(job)

    def write(self, row: int) -> None:
        for view in self.scene.of_row[row]:
            write_view(self.files, self.scene, view, self.mask_name(view), is_ignored=False)

    def mask_name(self, view: View) -> str | None:
        return f"masks/{view.name}.png" if self.with_masks else None

    def finish(self) -> None:
        self.files.write("points.ply", ply(*scene_points(self.scene)))
        content: dict[str, Any] = {
            "camera_model": "OPENCV",
            "orientation_override": "none",
            "applied_transform": np.eye(4)[:3].tolist(),
            "ply_file_path": "points.ply",
            "frames": [self.frame(view) for view in self.scene.views],
        }
        split = {name: [f"images/{view.name}.png" for view in views] for name, views in self.scene.split().items()}
        for name, paths in (("train", split["train"]), ("val", split["test"]), ("test", split["test"])):
            content[f"{name}_filenames"] = paths
        self.files.replace("transforms.json", json_text(content))

    def frame(self, view: View) -> dict[str, Any]:
        name = self.mask_name(view)
        mask = {} if name is None else {"mask_path": name}
        return {**scene_frame(view, f"images/{view.name}.png"), **mask}


def write_view(files: TargetFiles, scene: Scene, view: View, mask_name: str | None, is_ignored: bool) -> None:
    """Picture of a view, and its mask, if it has a name. is_ignored: whether 255 stands for what is ignored, or for
    what counts."""
    picture_name = f"images/{view.name}.png"
    if files.has(picture_name, *([] if mask_name is None else [mask_name])):
        return
    shown = scene.read(view)
    if mask_name is not None:
        files.write(mask_name, encode_png(np.where(counted(shown.exact_mask()) != is_ignored, 255, 0).astype(np.uint8)))
    files.write(picture_name, encode_png(shown.rgba()))


def counted(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the person and a band around, which says where the person ends."""
    cv2 = import_or_explain("cv2")
    side = 2 * max(1, round(OUTLINE_SHARE * mask.shape[1])) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate((mask > 0).astype(np.uint8), kernel) > 0


def scene_frame(view: View, path: str) -> dict[str, Any]:
    """OpenGL camera-to-world, px, radians."""
    return {"file_path": path, "transform_matrix": camera_to_world(view.camera), **intrinsics(view.camera)}
