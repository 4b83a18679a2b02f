"""A finished run on a page, or two of them side by side, in step over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from vhap.evaluate.rig_scene import RigScene
from vhap.evaluate.run_scene import RunScene
from vhap.viewer import colours
from vhap.viewer.camera_nodes import look_at_the_head, moved
from vhap.viewer.camera_panel import CameraPanel
from vhap.viewer.run_nodes import PICTURES, PicturePixels, RunNodes
from vhap.viewer.timeline import Timeline

if TYPE_CHECKING:
    from viser import ViserServer

NONE = "none"
BESIDE_M = 0.35
"""Between two heads side by side."""
SCALES_MM = (0.5, 20.0, 0.5)
"""Distances that are the hottest colour: least, most, step."""
NAMES = ("/run", "/second")


class RunView:
    """Adds one run, or two, to a page. titles: what the runs are called."""

    def __init__(
        self, server: ViserServer, runs: Sequence[tuple[RunScene, bool]], titles: Sequence[str], pixels: PicturePixels
    ) -> None:
        """runs: each with whether it was opened with its landmarks."""
        self.server, self.titles = server, titles
        self.runs = [
            RunNodes(server, name, scene, pixels, has_landmarks, np.zeros(3))
            for name, (scene, has_landmarks) in zip(NAMES, runs)
        ]
        self.first = self.runs[0]
        self.rows = matching_rows([run.scene for run in self.runs])
        self.view = self._rig_scene()
        for run in self.runs:
            run.cameras.place(self.view.frustum_distance)
        look_at_the_head(server, self.view)
        lost = {row: reason for row in range(self.first.scene.n_rows) if (reason := self._lost(row))}
        names = [str(name) for name in self.first.scene.result.timestep_id]
        self.timeline = Timeline(server, names, self.show, lost)
        self._add_head_controls()
        self.panel = CameraPanel(
            server, [run.cameras for run in self.runs], PICTURES, any(run.has_landmarks for run in self.runs),
            self.view.focus, self.timeline.refresh,
        )  # fmt: skip
        # Colours by a camera change with the one that is chosen.
        self.panel.camera.on_update(lambda _: self.timeline.refresh())
        if len(self.runs) == 2:
            self._move_second()
        self.timeline.refresh()

    @property
    def share_topology(self) -> bool:
        first, *others = [run.scene.model.faces for run in self.runs]
        return bool(others) and all(torch.equal(first, other) for other in others)

    def stop(self) -> None:
        self.timeline.stop()

    def show(self, row: int) -> None:
        """A row of the first run; the second one's that belongs to it, if any."""
        with self.server.atomic():
            self._show_pictures(row)
        values = self._distances(row) if self.mode.value == colours.DISTANCE else None
        view = self.panel.chosen
        for run, rows in zip(self.runs, self.rows):
            run.mesh.top.visible = self.visible.value and rows[row] is not None
            if (own := rows[row]) is None or not self.visible.value:
                continue
            region = self.region.value if self.region.value in run.scene.model.regions else None
            run.show_head(own, self.mode.value, min(view, run.scene.n_views - 1), region, values)
            run.show_landmarks(own if self.points.value else None)

    def _show_pictures(self, row: int) -> None:
        kind = self.panel.kind.value if self.panel.has_pictures else None
        for run, rows in zip(self.runs, self.rows):
            own = rows[row]
            run.cameras.top.visible = own is not None
            if own is not None:
                run.show_pictures(own, kind, self.panel.landmarks.value)

    def _add_head_controls(self) -> None:
        gui, regions = self.server.gui, sorted({name for run in self.runs for name in run.scene.model.regions})
        modes = (*colours.MODES, *((colours.DISTANCE,) if self.share_topology else ()))
        with gui.add_folder("Head"):
            self.visible = gui.add_checkbox("head", True)
            self.mode = gui.add_dropdown(
                "colours",
                modes,
                hint="error: against the picture of the chosen camera, black to yellow; shape: no light",
            )
            self.region = gui.add_dropdown("region", (NONE, *regions), hint="in green")
            self.points = gui.add_checkbox(
                "fitted landmarks", False, visible=any(run.has_landmarks for run in self.runs)
            )
        inputs = [self.visible, self.mode, self.region, self.points]
        if len(self.runs) == 2:
            inputs += self._add_comparison()
        for handle in inputs:
            handle.on_update(lambda _: self.timeline.refresh())

    def _add_comparison(self) -> list:
        gui = self.server.gui
        with gui.add_folder("Comparison"):
            gui.add_markdown(f"left: `{self.titles[0]}`, right: `{self.titles[1]}`")
            self.beside = gui.add_slider("metres apart", 0.0, 1.0, 0.01, BESIDE_M, hint="0: in one place")
            self.aligned = gui.add_checkbox(
                "align heads rigidly", False, visible=self.share_topology, hint="before distances are measured"
            )
            self.scale_mm = gui.add_slider("yellow from, mm", *SCALES_MM, 3.0, visible=self.share_topology)
            self.said = gui.add_markdown("" if self.share_topology else "Heads of two topologies: no distances.")
        self.beside.on_update(lambda _: self._move_second())
        return [self.aligned, self.scale_mm]

    def _distances(self, row: int) -> np.ndarray | None:
        """(V,) as shares of the hottest one; zeros where the second run has no such row."""
        own, other = (rows[row] for rows in self.rows)
        if own is None or other is None:
            return np.zeros(self.first.scene.model.n_vertices)
        first = self.first.vertices(own).cpu().double().numpy()
        second = self.runs[1].vertices(other).cpu().double().numpy()
        found = 1000 * colours.distances(first, second, self.aligned.value)
        self.said.content = (
            f"mean {found.mean():.2f} mm, 95 % below {np.quantile(found, 0.95):.2f}, most {found.max():.2f}"
        )
        return found / self.scale_mm.value

    def _move_second(self) -> None:
        right = np.cross(self.view.up, self.view.front)
        self.runs[1].top.position = self.beside.value * right

    def _lost(self, row: int) -> str:
        """Of a row that no camera shows: why."""
        reasons = self.first.lost_reasons(row)
        return ", ".join(dict.fromkeys(reasons)) if all(reasons) else ""

    def _rig_scene(self) -> RigScene:
        cameras, points = self.first.cameras.cameras, self.first.vertices(0).cpu().double().numpy()
        scene = RigScene(cameras, points, np.zeros((len(points), 3), np.uint8))
        if len(self.runs) == 1:
            return scene
        shift = BESIDE_M * np.cross(scene.up, scene.front)
        other = self.runs[1].vertices(0).cpu().double().numpy() + shift
        cameras = [*cameras, *(moved(camera, shift) for camera in self.runs[1].cameras.cameras)]
        points = np.concatenate([points, other])
        return RigScene(cameras, points, np.zeros((len(points), 3), np.uint8))


def matching_rows(scenes: Sequence[RunScene]) -> list[list[int | None]]:
    """For every run and every row of the first one: its own row of that moment, by the timestep's name, or where they
    share none by their order."""
    names = [[str(name) for name in scene.result.timestep_id] for scene in scenes]
    found: list[list[int | None]] = []
    for own in names:
        place = {name: row for row, name in enumerate(own)}
        rows: list[int | None] = [place.get(name) for name in names[0]]
        if all(row is None for row in rows):
            rows = [row if row < len(own) else None for row in range(len(names[0]))]
        found.append(rows)
    return found
