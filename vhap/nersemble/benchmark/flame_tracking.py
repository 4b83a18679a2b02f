"""FLAME's numbers as the benchmark has them, to and from results of this tracker."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vhap.data.results import TrackResult
from vhap.util.errors import InputError, shown
from vhap.util.files import read_npz, write_npz
from vhap.util.log import get_logger
from vhap.util.schema import REAL, WHOLE, ArrayRule, check_arrays

if TYPE_CHECKING:
    from torch import Tensor

    from vhap.head.model import HeadModel

EULER = "XYZ"
"""About the axes that turn along: R = Rx Ry Rz. (Lower case is about fixed axes.)"""
HEAD = "flame2023"
N_SHAPE, N_EXPRESSION = 300, 100
N_LANDMARKS = 68
MOST_RAD, MOST_COEFFICIENT, MOST_UNITS = 20.0, 1e3, 1e6
MOST_DISAGREEMENT = 1e-3
"""Between entries of a file's matrices and those of its angles."""
REMEDY = "download it again"
RULES = {
    "shape": ArrayRule(REAL, (1, N_SHAPE), MOST_COEFFICIENT),
    "expression": ArrayRule(REAL, ("T", N_EXPRESSION), MOST_COEFFICIENT),
    "rotation": ArrayRule(REAL, ("T", 3), MOST_RAD),
    "rotation_matrices": ArrayRule(REAL, ("T", 3, 3), 1 + MOST_DISAGREEMENT),
    "translation": ArrayRule(REAL, ("T", 3), MOST_UNITS),
    "jaw": ArrayRule(REAL, ("T", 3), MOST_RAD),
    "frames": ArrayRule(WHOLE, ("T",)),
    "scale": ArrayRule(REAL, (1, 1), MOST_UNITS),
    "neck": ArrayRule(REAL, ("T", 3), MOST_RAD),
    "eyes": ArrayRule(REAL, ("T", 6), MOST_RAD),
}


@dataclass(frozen=True)
class FlameTracking:
    """The arrays of a file, by its names; T timesteps. Head: FLAME 2023 without teeth.

    shape (1, 300); expression (T, 100); jaw, neck (T, 3) and eyes (T, 6), left first: axis-angle in radians; frames
    (T,); scale (1, 1). rotation (T, 3): Euler angles in radians, R = Rx Ry Rz; rotation_matrices (T, 3, 3): the same;
    translation (T, 3): metres. A vertex v of the head without root rotation stands at scale R v + translation in the
    world of the cameras: it turns about the model's origin, not about the root joint.
    """

    shape: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    rotation_matrices: np.ndarray
    translation: np.ndarray
    jaw: np.ndarray
    frames: np.ndarray
    scale: np.ndarray
    neck: np.ndarray
    eyes: np.ndarray

    @classmethod
    def load(cls, path: str | Path) -> FlameTracking:
        """InputError where arrays are missing, more or of other shapes, or the angles are not those of the matrices."""
        arrays = read_npz(path)
        if more := sorted(set(arrays) - set(RULES)):
            raise InputError(f"expected the arrays {', '.join(RULES)} in {path}, found {shown(more)}, too; {REMEDY}")
        _check(arrays, path)
        return cls(**arrays)

    def save(self, path: str | Path) -> None:
        """InputError, and no file, where `load` would refuse it."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        _check(arrays, path)
        write_npz(path, arrays)

    def to_result(self, head: HeadModel, image_size: tuple[int, int] = (512, 512)) -> TrackResult:
        """The same motion as a result of this tracker: vertices agree to 1e-5 of the unit.

        head: FLAME, whose teeth may be there. image_size: (height, width) of the pictures. Its world is that of the
        cameras as given.
        """
        _require_flame(head)
        count = len(self.frames)
        scale = float(self.scale.reshape(()))
        rotation = self._rotation()
        root = _root_joint(head, self.shape[0])
        shift = scale * (root - rotation @ root)
        return TrackResult(
            rotation=_rotations().from_matrix(rotation).as_rotvec(),
            translation=self.translation.astype(np.float64) - shift,
            neck_pose=self.neck,
            jaw_pose=self.jaw,
            eyes_pose=self.eyes,
            shape=self.shape[0],
            expr=self.expression,
            timestep_id=np.array([f"{index:06d}" for index in self.frames.tolist()]),
            timestep_index=self.frames,
            n_processed_frames=np.array(count),
            image_size=np.array(image_size),
            head_model=np.array(head.identity),
            scale=None if scale == 1 else np.array(scale),
            T_tracked_given=np.eye(4),
        )

    @classmethod
    def from_result(cls, result: TrackResult, head: HeadModel) -> FlameTracking:
        """A result as the benchmark has it, in the world of the given cameras where the result has one.

        head: the FLAME of the result. Offsets of vertices have no place in it: the log says how large those are that
        are left out. InputError where the result is of another head or has more coefficients than 300 and 100.
        """
        _require_flame(head)
        if result.head_identity not in (head.identity, "unknown"):
            raise InputError(
                f"expected a result of the head {head.identity}, found {result.head_identity}; load the head it has"
            )
        _report_offsets(result)
        scale = 1.0 if result.scale is None else float(result.scale.reshape(()))
        rotation = _rotations().from_rotvec(result.rotation.astype(np.float64)).as_matrix()
        root = _root_joint(head, result.shape)
        translation = result.translation.astype(np.float64) + scale * (root - rotation @ root)
        if result.T_tracked_given is not None:
            matrix = result.T_tracked_given.astype(np.float64)
            unit = np.cbrt(np.linalg.det(matrix[:3, :3]))
            turn = matrix[:3, :3] / unit
            scale, rotation = scale / unit, turn.T @ rotation
            translation = (translation - matrix[:3, 3]) @ turn / unit
        arrays = {
            "shape": _padded(result.shape[None], N_SHAPE, "shape"),
            "expression": _padded(result.expr, N_EXPRESSION, "expression"),
            "rotation": _euler(rotation),
            "rotation_matrices": rotation,
            "translation": translation,
            "jaw": result.jaw_pose,
            "scale": np.full((1, 1), scale),
            "neck": result.neck_pose,
            "eyes": result.eyes_pose,
        }
        # In single precision, since the official kit multiplies them with tensors of it.
        single = {name: values.astype(np.float32) for name, values in arrays.items()}
        return cls(**single, frames=result.timestep_index)

    def _rotation(self) -> np.ndarray:
        """(T, 3, 3) float64, of the angles."""
        return _rotations().from_euler(EULER, self.rotation.astype(np.float64)).as_matrix()


class FlameProvider:
    """Meshes of a tracking: 5023 vertices in the world of the cameras, without teeth.

    head: FLAME 2023, whose teeth are left out where it has them; None takes the file that VHAP_FLAME_MODEL names or
    an asset folder holds. Its joints do not move with the expression, as the FLAME paper has it. Implementations that
    take them from the face with its expression place jaw and eyes slightly differently where these are turned.
    """

    def __init__(self, flame_tracking: FlameTracking, head: HeadModel | None = None) -> None:
        if head is None:
            head = _default_head()
        _require_flame(head)
        self._tracking, self._head = flame_tracking, head
        self._rotation = flame_tracking._rotation()
        self._count, self.faces = without_teeth(head)

    def has_mesh(self, timestep: int) -> bool:
        return 0 <= timestep < len(self._tracking.frames)

    def get_vertices(self, timestep: int) -> np.ndarray:
        """(5023, 3) float32 metres. timestep: a row of the tracking."""
        return self._placed(self._pose(timestep)[: self._count], timestep)

    def get_landmarks(self, timestep: int) -> np.ndarray:
        """(68, 3) float32 metres: the iBUG points, of which the first 17 slide along the jaw as the neck turns.

        InputError where landmark_embedding_with_eyes.npy does not lie beside the FLAME file.
        """
        from vhap.geometry.rotations import axis_angle_to_matrix
        from vhap.head.model import landmark_points

        if "ibug" not in self._head.landmarks or self._head.jaw_line is None:
            raise InputError(
                "expected landmarks with a sliding jaw line in landmark_embedding_with_eyes.npy beside the FLAME file, "
                "found none; put it there"
            )
        vertices = self._pose(timestep)
        # The root is not posed, so that of the joints above the face the neck alone turns it. Of its rotation FLAME's
        # contour follows the middle one of the angles z, y, x.
        neck = axis_angle_to_matrix(self._tensor(self._tracking.neck[timestep]))
        yaw = (-neck[2, 0]).atan2(neck[:2, 0].norm())
        points = landmark_points(self._head, vertices[None], "ibug", yaw[None])[0, :N_LANDMARKS]
        return self._placed(points, timestep)

    def get_model_to_world_transformation(self, timestep: int) -> np.ndarray:
        """(4, 4) float64: what brings the head without root rotation into the world of the cameras, scale included."""
        self._require(timestep)
        matrix = np.eye(4)
        matrix[:3, :3] = float(self._tracking.scale.reshape(())) * self._rotation[timestep]
        matrix[:3, 3] = self._tracking.translation[timestep]
        return matrix

    def _require(self, timestep: int) -> None:
        if not self.has_mesh(timestep):
            last = len(self._tracking.frames) - 1
            raise InputError(f"expected a timestep of 0 to {last} of the FLAME tracking, found {timestep}; correct it")

    def _pose(self, timestep: int) -> Tensor:
        """(V, 3) of the head, teeth included, without root rotation."""
        from vhap.head.model import HeadParams, pose

        self._require(timestep)
        tracking, still = self._tracking, self._head.template.new_zeros(3)
        params = HeadParams(
            shape=self._tensor(tracking.shape[0]),
            expr=self._tensor(tracking.expression[timestep]),
            rotation=still,
            translation=still,
            neck_pose=self._tensor(tracking.neck[timestep]),
            jaw_pose=self._tensor(tracking.jaw[timestep]),
            eyes_pose=self._tensor(tracking.eyes[timestep]),
        )
        return pose(self._head, params)

    def _tensor(self, values: np.ndarray) -> Tensor:
        import torch

        return torch.from_numpy(np.array(values, np.float64)).to(self._head.template)

    def _placed(self, points: Tensor, timestep: int) -> np.ndarray:
        """(N, 3) of the head -> float32 in the world of the cameras."""
        of_head = points.detach().cpu().numpy().astype(np.float64)
        matrix = self.get_model_to_world_transformation(timestep)
        return (of_head @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)

    def get_mesh(self, timestep: int):
        """A trimesh.Trimesh with `vertices` (5023, 3) and `faces` (9976, 3)."""
        import trimesh

        return trimesh.Trimesh(self.get_vertices(timestep), self.faces, process=False)


def _default_head() -> HeadModel:
    from vhap.head.load import find_flame

    path = find_flame()
    changed = path.stat().st_mtime_ns if path is not None and path.is_file() else 0
    return _load_once(path, changed)


@functools.lru_cache(maxsize=1)
def _load_once(path: Path | None, changed_ns: int) -> HeadModel:
    """Programs for the official kit make a provider for each sequence, and loading takes a second."""
    from vhap.head.load import load_head

    return load_head("flame", path, add_teeth=False)


def without_teeth(head: HeadModel) -> tuple[int, np.ndarray]:
    """How many vertices come before the teeth, which are the last ones, and the faces (F, 3) among them."""
    count = head.n_vertices - len(head.regions.get("teeth", ()))
    faces = head.faces.cpu().numpy()
    return count, faces[(faces < count).all(axis=1)]


def _check(arrays: dict[str, np.ndarray], path: str | Path) -> None:
    check_arrays(path, arrays, RULES, REMEDY)
    if not len(arrays["frames"]) or not (arrays["scale"] > 0).all():
        raise InputError(
            f"expected timesteps and a scale above 0 in {path}, found {len(arrays['frames'])} timesteps and the scale "
            f"{arrays['scale'].item():g}; {REMEDY}"
        )
    numbers, counts = np.unique(arrays["frames"], return_counts=True)
    if (counts > 1).any():
        twice = shown(numbers[counts > 1].tolist())
        raise InputError(f"expected each frame once as frames in {path}, found {twice} more than once; {REMEDY}")
    angles, matrices = arrays["rotation"].astype(np.float64), arrays["rotation_matrices"].astype(np.float64)
    apart = np.abs(_rotations().from_euler(EULER, angles).as_matrix() - matrices).max(axis=(1, 2))
    if apart.max() > MOST_DISAGREEMENT:
        row = int(apart.argmax())
        raise InputError(
            f"expected rotation_matrices of the Euler angles in rotation (Rx Ry Rz) in {path}, found entries "
            f"{apart[row]:.3g} apart in row {row}; {REMEDY}"
        )


def _rotations():
    from scipy.spatial.transform import Rotation

    return Rotation


def _euler(matrices: np.ndarray) -> np.ndarray:
    """(T, 3). Where the second angle is a quarter turn, only the sum of the others counts, and the third is 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return _rotations().from_matrix(matrices).as_euler(EULER)


def _require_flame(head: HeadModel) -> None:
    # The coefficients of another release mean other shapes.
    if head.name != HEAD:
        raise InputError(
            f"expected {HEAD} as the head of the benchmark's tracking, found {head.name}; load FLAME 2023, from a file "
            "with 2023 in its name, or make a run of it by vhap convert-head RUN --to flame"
        )
    if head.n_shape != N_SHAPE or head.n_expr != N_EXPRESSION:
        raise InputError(
            f"expected FLAME with {N_SHAPE} and {N_EXPRESSION} coefficients, found {head.n_shape} and {head.n_expr}; "
            "load it with all of them"
        )


def _root_joint(head: HeadModel, shape: np.ndarray) -> np.ndarray:
    """(3,) float64 metres, of the head with this shape; coefficients that it lacks are 0."""
    basis = head.joint_shape_basis[0, :, : len(shape)].cpu().double().numpy()
    return head.joint_template[0].cpu().double().numpy() + basis @ shape.astype(np.float64)


def _padded(values: np.ndarray, width: int, name: str) -> np.ndarray:
    if values.shape[1] > width:
        raise InputError(
            f"expected at most {width} coefficients of {name} in the result, found {values.shape[1]}; track with fewer"
        )
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))


def _report_offsets(result: TrackResult) -> None:
    for name in ("static_offset", "dynamic_offset"):
        offset = getattr(result, name)
        if offset is not None and (largest := float(np.linalg.norm(offset, axis=-1).max())) > 0:
            get_logger().warning(
                "the benchmark's FLAME tracking has no place for %s: vertices move by up to %.2f mm",
                name,
                1000 * largest,
            )
