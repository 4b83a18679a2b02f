"""A picture of a camera rig, drawn with a depth buffer and without a display."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vhap.evaluate.grid import image_grid
from vhap.evaluate.rig_scene import AXIS_RGB, FRUSTUM_EDGES, RigCamera, RigScene
from vhap.util.optional import import_or_explain

SIZE = (1000, 1200)
"""(height, width) of each view."""
SUPERSAMPLING = 2
BACKGROUND = 250
FOV_RAD = np.radians(36.0)
"""Of the longer side."""
MARGIN = 0.08
"""Share of a view's sides that stays empty around the rig."""
AZIMUTH_RAD, ELEVATION_RAD = np.radians(32.0), np.radians(24.0)
"""Of the three-quarter view, from the front."""
LINE_PX, AXIS_PX, MOST_POINT_PX = 2, 4, 6
BIAS = 1e-3
"""Share of its depth by which a line lies before the plane that it borders."""
LABEL_SCALE, LABEL_ROW_PX, TITLE_SCALE = 0.42, 15, 0.7
TEXT_RGB = (40, 40, 40)
OUTLIER_PERCENT = 1.0
"""Of a cloud's points on each side, which do not widen the view."""


@dataclass(frozen=True)
class View:
    """A pinhole camera, upright pixels. rotation (3, 3): world -> OpenCV axes. centre (3,). size (height, width)."""

    rotation: np.ndarray
    centre: np.ndarray
    focal_px: float
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) -> pixels (N, 2), the first one's centre at (0.5, 0.5), and depths (N,) in metres."""
        seen = (points - self.centre) @ self.rotation.T
        depth = seen[:, 2]
        safe = np.where(depth > 0, depth, 1.0)
        middle = np.array([self.size[1], self.size[0]]) / 2
        return seen[:, :2] / safe[:, None] * self.focal_px + middle, depth

    def scaled(self, factor: int) -> View:
        return replace(self, focal_px=self.focal_px * factor, size=(self.size[0] * factor, self.size[1] * factor))


class Canvas:
    """What is drawn hides what lies behind it, in whatever order it is drawn. rgb (H, W, 3) uint8; depth (H, W)."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.rgb = np.full((*view.size, 3), BACKGROUND, np.uint8)
        self.depth = np.full(view.size, np.inf, np.float32)

    def draw_points(self, points: np.ndarray, colors: np.ndarray, width_px: int) -> None:
        """points (N, 3), colors (N, 3) uint8; each is a square of width_px."""
        pixels, depth = self.view.project(points)
        self._splat(pixels, depth, colors, width_px)

    def draw_line(
        self, start: np.ndarray, end: np.ndarray, rgb: tuple[int, int, int], width_px: int, hidden: bool = True
    ) -> None:
        """hidden: where something is nearer; else it is seen through all that has been drawn."""
        ends, _ = self.view.project(np.stack([start, end]))
        count = 2 + int(3 * min(np.abs(ends[1] - ends[0]).max(), 4 * max(self.view.size)))
        points = start + np.linspace(0, 1, count)[:, None] * (end - start)
        pixels, depth = self.view.project(points)
        self._splat(
            pixels, depth * (1 - BIAS if hidden else BIAS), np.tile(np.array(rgb, np.uint8), (count, 1)), width_px
        )

    def draw_picture(self, camera: RigCamera, distance: float) -> None:
        """The camera's picture on its image plane, as seen through it; from behind, mirrored."""
        assert camera.picture is not None
        corners, depths = self.view.project(camera.frustum(distance)[1:])
        height, width = self.view.size
        low = np.clip(np.floor(corners.min(0)), 0, [width, height]).astype(int)
        high = np.clip(np.ceil(corners.max(0)) + 1, 0, [width, height]).astype(int)
        if (depths <= 0).any() or (high <= low).any():
            return
        columns, rows = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        middle = np.array([width, height]) / 2
        directions = np.stack([columns - middle[0], rows - middle[1]], -1) / self.view.focal_px
        directions = np.concatenate([directions, np.ones_like(directions[..., :1])], -1) @ self.view.rotation
        rotation = camera.T_camera_world[:3, :3]
        from_camera, towards = rotation @ (self.view.centre - camera.centre), directions @ rotation.T
        with np.errstate(divide="ignore", invalid="ignore"):
            # The view's rays have depth 1, so that this is the depth of what they hit.
            depth = (distance - from_camera[2]) / towards[..., 2]
            hit = (from_camera + depth[..., None] * towards) / distance @ camera.K.T
        share = hit[..., :2] / np.array(camera.size[::-1])
        box = (slice(low[1], high[1]), slice(low[0], high[0]))
        inside = ((share >= 0) & (share < 1)).all(-1) & (depth > 0) & (depth < self.depth[box])
        edges = np.linalg.norm(corners - np.roll(corners, 1, 0), axis=1)
        self.rgb[box][inside] = _sampled(camera.picture, share, float(edges.max()))[inside]
        self.depth[box][inside] = depth[inside]

    def _splat(self, pixels: np.ndarray, depth: np.ndarray, colors: np.ndarray, width_px: int) -> None:
        """Squares, nearer ones over farther ones."""
        height, width = self.view.size
        near = (depth > 0) & (np.abs(pixels) < 4 * max(height, width)).all(1)
        order = np.argsort(-depth[near], kind="stable")
        pixels, depth, colors = pixels[near][order], depth[near][order], colors[near][order]
        first = np.floor(pixels - (width_px - 1) / 2).astype(int)
        for down in range(width_px):
            for right in range(width_px):
                column, row = first[:, 0] + right, first[:, 1] + down
                shown = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                shown[shown] = depth[shown] < self.depth[row[shown], column[shown]]
                # Of equal places the last one counts, which is the nearest.
                self.rgb[row[shown], column[shown]] = colors[shown]
                self.depth[row[shown], column[shown]] = depth[shown]


def draw_rig(scene: RigScene, title: str) -> np.ndarray:
    """(H, W, 3) uint8: the rig from the front at an angle, and from above. title: plain ASCII."""
    views = {"from the front": front_view(scene), "from above": fitted_view(scene, scene.up, -scene.front)}
    drawn = [draw_view(scene, view) for view in views.values()]
    for picture, name in zip(drawn, views):
        _write(picture, f"{title}, {name}", (16, 34), TITLE_SCALE, TEXT_RGB)
    return image_grid(drawn, 2)


def front_view(scene: RigScene) -> View:
    """From the front, a little from the side and from above."""
    level = np.cos(AZIMUTH_RAD) * scene.front + np.sin(AZIMUTH_RAD) * np.cross(scene.up, scene.front)
    return fitted_view(scene, np.cos(ELEVATION_RAD) * level + np.sin(ELEVATION_RAD) * scene.up, scene.up)


def fitted_view(scene: RigScene, backward: np.ndarray, up: np.ndarray, size: tuple[int, int] = SIZE) -> View:
    """The nearest view along -backward (3,) that holds the whole rig. up (3,): upwards in the picture."""
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(right, backward), -backward])
    points = [scene.axes(), *(camera.frustum(scene.frustum_distance) for camera in scene.cameras)]
    if len(scene.points):
        low, high = np.percentile(scene.points, [OUTLIER_PERCENT, 100 - OUTLIER_PERCENT], axis=0)
        points.append(scene.points[((scene.points >= low) & (scene.points <= high)).all(1)])
    turned = np.concatenate(points) @ rotation.T
    focal = max(size) / 2 / np.tan(FOV_RAD / 2)
    slope = np.array([size[1], size[0]]) / 2 / focal * (1 - 2 * MARGIN)
    # |x - centre_x| <= slope (z - centre_z) for all points, and so for y: the largest centre_z that allows it.
    least = (turned[:, :2] - slope * turned[:, 2:]).max(0)
    most = (turned[:, :2] + slope * turned[:, 2:]).min(0)
    nearest = float(((most - least) / (2 * slope)).min())
    centre = np.array([*((least + most) / 2), nearest])
    return View(rotation, centre @ rotation, focal, size)


def draw_view(scene: RigScene, view: View) -> np.ndarray:
    """(H, W, 3) uint8 of one view."""
    cv2 = import_or_explain("cv2")
    canvas, fine = Canvas(view.scaled(SUPERSAMPLING)), SUPERSAMPLING
    canvas.draw_points(scene.points, scene.colors, _point_px(scene.points, canvas.view))
    distance = scene.frustum_distance
    for camera in scene.cameras:
        if camera.picture is not None:
            canvas.draw_picture(camera, distance)
        corners = camera.frustum(distance)
        for start, end in FRUSTUM_EDGES:
            canvas.draw_line(corners[start], corners[end], camera.rgb, LINE_PX * fine)
    axes = scene.axes()
    for end, rgb in zip(axes[1:], AXIS_RGB):
        # The origin is in the head.
        canvas.draw_line(axes[0], end, rgb, AXIS_PX * fine, hidden=False)
    drawn = cv2.resize(canvas.rgb, (view.size[1], view.size[0]), interpolation=cv2.INTER_AREA)
    return _with_names(drawn, scene, view)


def _point_px(points: np.ndarray, view: View) -> int:
    """Width of a point's square, so that a surface of so many points closes, within limits."""
    if not len(points):
        return 1
    pixels, depth = view.project(points)
    pixels = pixels[depth > 0]
    if not len(pixels):
        return 1
    low, high = np.percentile(pixels, [OUTLIER_PERCENT, 100 - OUTLIER_PERCENT], axis=0)
    spacing = float(np.sqrt(np.prod(high - low) / len(pixels)))
    return int(np.clip(np.ceil(spacing), 1, MOST_POINT_PX * SUPERSAMPLING))


def _sampled(picture: np.ndarray, share: np.ndarray, longest_px: float) -> np.ndarray:
    """The picture at places (..., 2) in shares of its width and height, as it looks when its longer side is drawn over
    so many pixels."""
    cv2 = import_or_explain("cv2")
    factor = min(1.0, max(longest_px, 1.0) / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
    places = np.nan_to_num(share * np.array(size) - 0.5, nan=-1, posinf=-1, neginf=-1).astype(np.float32)
    return cv2.remap(small, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _with_names(drawn: np.ndarray, scene: RigScene, view: View) -> np.ndarray:
    """Names at the cameras' centres; where they would overlap, the next free row below or above."""
    cv2 = import_or_explain("cv2")
    pixels, _ = view.project(np.array([camera.centre for camera in scene.cameras]))
    taken: list[tuple[float, float, float]] = []
    for index in sorted(range(len(pixels)), key=lambda index: (not scene.cameras[index].is_held_out, pixels[index, 1])):
        camera, (x, y) = scene.cameras[index], pixels[index]
        width = cv2.getTextSize(camera.name, cv2.FONT_HERSHEY_SIMPLEX, LABEL_SCALE, 1)[0][0]
        left = float(np.clip(x - width / 2, 2, max(2, view.size[1] - width - 2)))
        rows = [y + step * LABEL_ROW_PX for step in (1.2, -0.4, 2.2, -1.4, 3.2, -2.4, 4.2, -3.4)]
        free = [
            row
            for row in rows
            if not any(abs(row - r) < LABEL_ROW_PX and left < b + 4 and a < left + width + 4 for a, b, r in taken)
        ]
        row = float(np.clip((free or rows)[0], LABEL_ROW_PX, view.size[0] - 4))
        taken.append((left, left + width, row))
        _write(drawn, camera.name, (round(left), round(row)), LABEL_SCALE, camera.rgb)
    return drawn


def _write(drawn: np.ndarray, text: str, place: tuple[int, int], scale: float, rgb: tuple[int, int, int]) -> None:
    """place: (column, row) of the first letter's foot."""
    cv2 = import_or_explain("cv2")
    for color, thickness in (((BACKGROUND,) * 3, 4), (rgb, 1)):
        cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
