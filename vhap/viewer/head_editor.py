"""A head on a page with a slider for everything that poses it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vhap.data.results import RESULT_PATTERN, TrackResult, load_result, save_result
from vhap.evaluate.run_scene import result_head_params
from vhap.head.model import JOINT_NAMES, HeadModel, landmark_points, pose
from vhap.util.errors import InputError, as_one_line
from vhap.viewer import colours
from vhap.viewer.mesh_node import MeshNode, glb, painted, plain_surface, textured_surface

if TYPE_CHECKING:
    from viser import GuiSliderHandle, ViserServer

NONE = "none"
MODES = ("render", "shape", "normals")
COEFFICIENT, NAMED_COEFFICIENT, COEFFICIENT_STEP = (-3.0, 3.0), (0.0, 1.0), 0.01
"""Ranges of sliders. Coefficients with names are blend shapes, whose range is 0 to 1."""
ANGLES_DEG = {"root": 180.0, "neck": 60.0, "jaw": 45.0, "left_eye": 45.0, "right_eye": 45.0}
TRANSLATION_M = 0.5
JOINT_KEYS = {"root": ("rotation", 0), "neck": ("neck_pose", 0), "jaw": ("jaw_pose", 0), "left_eye": ("eyes_pose", 0),
              "right_eye": ("eyes_pose", 3)}  # fmt: skip
"""Joint -> array of a result, and where its three numbers begin."""
MOST_NAMED = 100
"""Landmarks of a set whose numbers are written beside them."""
POINT_RGB, POINT_M = (255, 70, 70), 0.002
DISTANCE_M = 0.75


class HeadEditor:
    """Adds a head to a page. What poses it is kept as a result of one frame, the format of a run's file.

    model: with all its coefficients. texture (R, R, 3) uint8, row 0 on top. n_sliders: of identity and of expression.
    target: where "Save" writes until another path is typed.
    """

    def __init__(
        self, server: ViserServer, model: HeadModel, texture: np.ndarray, texture_px: int, n_sliders: int, target: Path
    ) -> None:
        self.server, self.model = server, model
        self.lock, self._quiet = threading.RLock(), False
        self._drawing, self._wanted, self._drawn = threading.Lock(), 0, -1
        self.state = neutral_result(model)
        self.mesh = MeshNode(server, "/head")
        self.albedo = colours.vertex_albedo(model, texture)
        self.plain = plain_surface(model.faces.numpy(), model.n_vertices)
        arrays = (model.faces.numpy(), model.uvs.numpy(), model.uv_faces.numpy())
        self.textured = textured_surface(*arrays, texture, texture_px)
        self.sliders: dict[tuple[str, int], GuiSliderHandle[float]] = {}
        self._add_view()
        self._add_files(target)
        self._add_sliders(n_sliders)
        self._look_at_the_face()
        self.show()

    def stop(self) -> None:
        """Nothing runs of its own."""

    def show(self) -> None:
        """Draws the head as it is now. Of many movements at once, as of a slider that is dragged, the last is drawn."""
        with self.lock:
            self._wanted += 1
        with self._drawing:
            if self._drawn != self._wanted:
                self._drawn = self._wanted
                self._draw()

    @torch.no_grad()
    def _draw(self) -> None:
        vertices = pose(self.model, result_head_params(self.state, 0))
        rgb = self.albedo
        if self.mode.value != "render":
            paint = colours.normal_colours if self.mode.value == "normals" else colours.shape_colours
            rgb = paint(colours.normals_of(self.model, vertices), torch.eye(3))
        if self.region.value != NONE:
            rgb = colours.highlighted(rgb, self.model.regions[self.region.value].numpy())
        surface = self.textured if self.mode.value == "render" else self.plain
        self.mesh.show(glb(surface, vertices.numpy(), painted(surface, rgb, self.albedo)))
        self._show_landmarks(vertices)

    def reset(self) -> None:
        """The neutral head at the origin."""
        self.set_state(neutral_result(self.model))

    def set_state(self, result: TrackResult) -> None:
        """A result of one frame, with as many coefficients as the head has."""
        with self.lock:
            self.state = result
            with self._silence():
                for (name, index), slider in self.sliders.items():
                    value = float(self._row(name)[index])
                    _set(slider, np.degrees(value) if self._is_angle(name) else value)
        self.show()

    def save(self, path: Path) -> None:
        """The file appears whole or not at all. InputError for a name that does not end in .npz, and where a run's
        result or another file than one of a single frame stands there."""
        if path.suffix != ".npz" or RESULT_PATTERN.fullmatch(path.name):
            raise InputError(f"expected a name that ends in .npz and is not that of a run's result, found {path}")
        if path.exists() and len(load_result(path).timestep_id) != 1:
            raise InputError(f"expected a new file, or one of a single frame, at {path}, found a longer result")
        save_result(path, self.state)

    def load(self, path: Path, frame: int) -> None:
        """A frame of a run's result, or of a file that `save` wrote. InputError where it is of another head, has more
        coefficients than the head, or has no such frame."""
        result = load_result(path, self.model.identity)
        if not 0 <= frame < len(result.timestep_id):
            raise InputError(
                f"expected a frame of 0 to {len(result.timestep_id) - 1} of {path}, found {frame}; choose one of them"
            )
        self.set_state(one_frame(self.model, result, frame, path))

    def _add_view(self) -> None:
        gui = self.server.gui
        with gui.add_folder("View"):
            self.mode = gui.add_dropdown("colours", MODES)
            self.region = gui.add_dropdown("region", (NONE, *sorted(self.model.regions)), hint="in green")
            self.landmarks = gui.add_dropdown(
                "landmarks", (NONE, *sorted(self.model.landmarks)), hint=f"with their numbers, up to {MOST_NAMED}"
            )
        for handle in (self.mode, self.region, self.landmarks):
            handle.on_update(lambda _: self.show())

    def _add_files(self, target: Path) -> None:
        gui = self.server.gui
        with gui.add_folder("Parameters"):
            self.path = gui.add_text("file", str(target), hint="an npz, as results of a run are, on the server's disk")
            self.frame = gui.add_number("frame to load", 0, min=0, step=1)
            save, load = gui.add_button("Save"), gui.add_button("Load")
            reset = gui.add_button("Reset")
            self.said = gui.add_markdown("")
        save.on_click(lambda _: self._say("saved", lambda: self.save(self._typed_path())))
        load.on_click(lambda _: self._say("loaded", lambda: self.load(self._typed_path(), int(self.frame.value))))
        reset.on_click(lambda _: self._say("reset", self.reset))

    def _typed_path(self) -> Path:
        return Path(self.path.value.strip()).expanduser()

    def _say(self, done: str, action: Callable[[], None]) -> None:
        try:
            action()
        except (InputError, OSError) as error:
            self.said.content = f"**{as_one_line(str(error))}**"
        else:
            self.said.content = f"{done} `{self._typed_path()}`" if done != "reset" else done

    def _add_sliders(self, n_sliders: int) -> None:
        gui, model = self.server.gui, self.model
        with gui.add_folder("Joints, degrees (axis-angle)", expand_by_default=False):
            for joint in JOINT_NAMES:
                key, first = JOINT_KEYS[joint]
                most = ANGLES_DEG[joint]
                for axis, letter in enumerate("xyz"):
                    self._add(f"{joint} {letter}", key, first + axis, (-most, most), 0.5)
        with gui.add_folder("Translation, metres", expand_by_default=False):
            for axis, letter in enumerate("xyz"):
                self._add(letter, "translation", axis, (-TRANSLATION_M, TRANSLATION_M), 0.001)
        for title, key, names, count in (
            ("Expression", "expr", model.expr_names, model.n_expr),
            ("Identity", "shape", model.shape_names, model.n_shape),
        ):
            is_blend_shape = key == "expr" and bool(names)
            with gui.add_folder(f"{title}, {min(count, n_sliders)} of {count}", expand_by_default=key == "expr"):
                for index in range(min(count, n_sliders)):
                    limits = NAMED_COEFFICIENT if is_blend_shape else COEFFICIENT
                    self._add(names[index] if names else str(index), key, index, limits, COEFFICIENT_STEP)

    def _add(self, label: str, key: str, index: int, limits: tuple[float, float], step: float) -> None:
        slider = self.server.gui.add_slider(label, *limits, step, 0.0)
        slider.on_update(lambda _: self._moved(key, index, float(slider.value)))
        self.sliders[key, index] = slider

    def _moved(self, key: str, index: int, value: float) -> None:
        with self.lock:
            if self._quiet:
                return
            array = getattr(self.state, key).copy()
            array.reshape(-1)[index] = np.radians(value) if self._is_angle(key) else value
            self.state = replace(self.state, **{key: array})
        self.show()

    def _row(self, key: str) -> np.ndarray:
        return getattr(self.state, key).reshape(-1)

    def _is_angle(self, key: str) -> bool:
        return key in ("rotation", "neck_pose", "jaw_pose", "eyes_pose")

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Sliders that are set change nothing meanwhile."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _show_landmarks(self, vertices: torch.Tensor) -> None:
        scene, name = self.server.scene, self.landmarks.value
        if name == NONE:
            scene.remove_by_name("/landmarks")
            return
        points = landmark_points(self.model, vertices, name).numpy()
        scene.add_point_cloud(
            "/landmarks", points, POINT_RGB, point_size=POINT_M, point_shape="circle", precision="float32",
            point_shading="flat",
        )  # fmt: skip
        ids = self.model.landmarks[name].detector_ids.tolist()
        for number, point in zip(ids if len(ids) <= MOST_NAMED else (), points):
            scene.add_label(f"/landmarks/{number}", str(number), position=point, font_screen_scale=0.6)

    def _look_at_the_face(self) -> None:
        middle = self.model.template.mean(0).numpy()
        self.server.scene.set_up_direction("+y")
        self.server.initial_camera.position = middle + np.array([0.15, 0.05, DISTANCE_M])
        self.server.initial_camera.look_at = middle
        self.server.initial_camera.fov = float(np.radians(36))


def neutral_result(model: HeadModel) -> TrackResult:
    """A result of one frame: the neutral head at the origin."""
    zeros = {name: np.zeros((1, size), np.float32) for name, size in
             (("rotation", 3), ("translation", 3), ("neck_pose", 3), ("jaw_pose", 3), ("eyes_pose", 6),
              ("expr", model.n_expr))}  # fmt: skip
    return TrackResult(
        **zeros,
        shape=np.zeros(model.n_shape, np.float32),
        timestep_id=np.array(["000000"]),
        timestep_index=np.arange(1),
        n_processed_frames=np.array(1),
        image_size=np.array([512, 512]),
        head_model=np.array(model.identity),
    )


def one_frame(model: HeadModel, result: TrackResult, frame: int, path: Path) -> TrackResult:
    """A frame of a result with as many coefficients as the head has, those that it lacks being zero; InputError where
    it has more, or offsets of another mesh."""
    for name, count, most in (
        ("shape", result.shape.shape[-1], model.n_shape),
        ("expr", result.expr.shape[-1], model.n_expr),
    ):
        if count > most:
            raise InputError(
                f"expected at most {most} values of {name} in {path}, found {count}; open the head it is of"
            )
    for name in ("static_offset", "dynamic_offset"):
        offset = getattr(result, name)
        if offset is not None and offset.shape[1] != model.n_vertices:
            raise InputError(
                f"expected {name} of {model.n_vertices} vertices in {path}, found {offset.shape[1]}; open the head it "
                "is of"
            )
    single = result.select([frame])
    shape, expr = np.zeros(model.n_shape, np.float32), np.zeros((1, model.n_expr), np.float32)
    shape[: result.shape.shape[-1]] = single.shape
    expr[:, : result.expr.shape[-1]] = single.expr
    return replace(single, shape=shape, expr=expr)


def _set(slider: GuiSliderHandle[float], value: float) -> None:
    """Beyond its limits these give way."""
    if not slider.min <= value <= slider.max:
        slider.min, slider.max = min(slider.min, np.floor(10 * value) / 10), max(slider.max, np.ceil(10 * value) / 10)
    slider.value = value
