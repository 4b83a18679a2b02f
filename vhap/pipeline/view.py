"""Opens what somebody wants to look at and puts it on a page in the browser."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from vhap.config.data import DataConfig, MultiviewDataConfig, SingleFrameDataConfig
from vhap.config.track import ModelConfig
from vhap.config.view import ViewConfig
from vhap.data.recording_kind import recording_kind
from vhap.data.sample import Capture
from vhap.evaluate.run_scene import PLAIN_TEXTURE_SIZE, RunScene
from vhap.export.head_files import pose_arrays
from vhap.head.model import HeadModel
from vhap.head.texture import region_texture
from vhap.pipeline.captures import read_capture
from vhap.pipeline.heads import configured_head
from vhap.pipeline.open_run import open_run
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.viewer.capture_view import CaptureView
from vhap.viewer.export_files import ExportFiles, Pose, read_export
from vhap.viewer.export_view import ExportView
from vhap.viewer.head_editor import HeadEditor
from vhap.viewer.open import Found, what_is
from vhap.viewer.points import Points, read_points
from vhap.viewer.rig_page import add_cloud
from vhap.viewer.run_nodes import PicturePixels
from vhap.viewer.run_view import RunView
from vhap.viewer.server import address, require_viser, start_server

if TYPE_CHECKING:
    from viser import ViserServer

SAVED = Path("head_params.npz")
"""Where the head editor saves until another path is typed."""
ALL_COEFFICIENTS = 1_000_000
CAPTURES = {"video": DataConfig, "multiview": MultiviewDataConfig, "single_frame": SingleFrameDataConfig}

DETECTORS: tuple[Literal["mediapipe", "face-alignment", "star"], ...] = ("mediapipe", "face-alignment", "star")
"""Whose landmarks of a recording are shown, the first that are there."""


class View(Protocol):
    def stop(self) -> None:
        """Ends what runs of its own."""
        ...


@dataclass(frozen=True)
class Page:
    """A page that is served. view: what is on it."""

    server: ViserServer
    view: View

    @property
    def url(self) -> str:
        return address(self.server)

    @property
    def port(self) -> int:
        return self.server.get_port()

    def wait(self) -> None:
        """Until Ctrl-C, then the page is closed."""
        with self, contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)

    def close(self) -> None:
        self.view.stop()
        # It says on stdout that it has stopped.
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run(config: ViewConfig) -> Page:
    """A running page of what the paths are. InputError where they are nothing to look at, the port is taken, or viser
    is missing."""
    require_viser()
    found = [what_is(path) for path in config.paths]
    _require_together(found)
    points = None if config.points is None else read_points(config.points)
    title, add = _opened(found, config)
    server = start_server(title, config.port)
    try:
        view = add(server)
        if points is not None:
            _add_points(server, points)
    except BaseException:
        server.stop()
        raise
    return Page(server, view)


def _require_together(found: Sequence[Found]) -> None:
    kinds = [one.kind for one in found]
    if len(kinds) != 1 and kinds != ["run", "run"]:
        others = "open the others on pages of their own, with another --port" if kinds else "name it"
        raise InputError(
            f"expected one thing to look at, or two runs, found {len(kinds)} ({', '.join(kinds) or 'none'}); {others}"
        )


def _opened(found: Sequence[Found], config: ViewConfig) -> tuple[str, Callable[[ViserServer], View]]:
    """Reads everything that can be wrong, and returns the page's title and what fills it."""
    first = found[0]
    name = first.path.resolve().name
    if first.kind == "run":
        runs = [_run_of(one, config.epoch) for one in found]
        titles = [f"{run.sequence_folder.name}, {run.folder.name}" for run, _ in runs]
        pixels = PicturePixels(config.picture_px, config.texture_px)
        return " | ".join(titles), lambda server: RunView(server, runs, titles, pixels)
    if first.kind == "export":
        files = read_export(first.path)
        pose, faces = _head_of(files)
        return name, lambda server: ExportView(server, files, config.picture_px, pose, faces)
    if first.kind == "capture":
        capture, has_landmarks = _capture_of(first.path)
        return name, lambda server: CaptureView(server, capture, config.picture_px, has_landmarks)
    model = configured_head(_head_options(first.path))
    base = region_texture(model, PLAIN_TEXTURE_SIZE) if model.base_texture is None else model.base_texture
    texture = (base.clamp(0, 1) * 255).round().byte().numpy()
    target = SAVED.absolute()
    return name, lambda server: HeadEditor(server, model, texture, config.texture_px, config.n_sliders, target)


def _run_of(found: Found, epoch: int) -> tuple[RunScene, bool]:
    """The run, and whether with its landmarks: where these are gone, the rest is shown without."""
    epoch = epoch if found.epoch is None else found.epoch
    try:
        scene = open_run(found.path, epoch)
        return scene, scene.config.data.use_landmark
    except InputError as error:
        scene = open_run(found.path, epoch, with_landmarks=False)
        get_logger().warning("shown without landmarks: %s", error)
        return scene, False


def _capture_of(path: Path) -> tuple[Capture, bool]:
    """A recording as it lies there, with its landmarks where these have been detected."""
    kind = CAPTURES[recording_kind(path)]
    path = path.absolute()
    config = kind(
        root_folder=path.parent,
        sequence=path.name,
        background_color=None,
        n_downsample_rgb=_smaller(path),
        landmark_source=next((name for name in DETECTORS if (path / "landmark2d" / name).is_dir()), DETECTORS[0]),
    )
    try:
        return read_capture(config, cache_bytes=0), True
    except InputError as error:
        capture = read_capture(replace(config, use_landmark=False), cache_bytes=0)
        get_logger().warning("shown without landmarks: %s", error)
        return capture, False


def _smaller(path: Path) -> int | None:
    """The N of images_N where there are no full-size pictures."""
    numbers = [int(suffix) for child in path.glob("images_*") if (suffix := child.name[7:]).isdecimal()]
    return None if (path / "images").is_dir() or not numbers else min(numbers)


def _head_options(path: Path) -> ModelConfig:
    """All coefficients of a head by its name or by its file."""
    if path.suffix == ".npz":
        options = ModelConfig(head="file", head_path=path)
    elif path.suffix == ".pkl":
        options = ModelConfig(head="flame", flame_model_path=path)
    elif path.is_dir():
        options = ModelConfig(head="ict", ict_facekit_path=path)
    else:
        options = ModelConfig(head=str(path))  # pyright: ignore[reportArgumentType]
    return replace(options, n_shape=ALL_COEFFICIENTS, n_expr=ALL_COEFFICIENTS)


def _head_of(files: ExportFiles) -> tuple[Pose | None, np.ndarray | None]:
    """What poses the parameters of an export whose meshes are not there; None for both without its head."""
    if files.faces() is not None or not files.head_model:
        return None, None
    name = files.head_model.split(":")[0]
    try:
        model = configured_head(ModelConfig(head="flame" if name.startswith("flame") else name))  # pyright: ignore
    except InputError as error:
        get_logger().warning("shown without the head: %s", error)
        return None, None
    if model.identity != files.head_model:
        get_logger().warning("shown without the head: %s is here, not %s", model.identity, files.head_model)
        return None, None
    return lambda arrays: _posed(model, arrays), model.faces.numpy()


def _posed(model: HeadModel, arrays: dict[str, np.ndarray]) -> np.ndarray:
    sized = model.keep_coefficients(arrays["shape"].shape[-1], arrays["expr"].shape[-1])
    return pose_arrays(sized, arrays).numpy()


def _add_points(server: ViserServer, points: Points) -> None:
    add_cloud(server, "/points", points.points, points.colors)
    with server.gui.add_folder("Points"):
        server.gui.add_markdown(f"{len(points.points)} points")
        visible = server.gui.add_checkbox("points", True)
    node = server.scene.get_handle_by_name("/points")
    visible.on_update(lambda _: setattr(node, "visible", visible.value))
