"""FLAME 2023 without a jaw joint, as CAP4D poses it, and the fit of another FLAME's posed vertices to it.

Its expressions open the mouth, so that coefficients of no other FLAME mean the same in it; its mesh is FLAME's, so that
vertices do. The head is moved about FLAME's origin, x = R v + t, not about the neck's joint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vhap.geometry.rotations import matrix_to_axis_angle
from vhap.geometry.similarities import rigid_between
from vhap.head.flame_pickle import numbers_of, read_pickle
from vhap.util.errors import InputError
from vhap.util.files import read_npy

N_SHAPE, N_EXPR, FIRST_EXPR = 150, 65, 300
"""Coefficients that CAP4D takes; the first column of expressions in shapedirs."""
BLINK = "blink_blendshape.npy"
"""In place of the last expression."""
VERTEX_NOISE_M = 1e-3
"""Against coefficients of variance 1: what keeps those that the vertices do not tell small."""
ROUNDS = 6


@dataclass(frozen=True)
class NoJawHead:
    """template (V, 3); shape_basis (V, 3, 150); expr_basis (V, 3, 65), the last of which closes the lids."""

    template: np.ndarray
    shape_basis: np.ndarray
    expr_basis: np.ndarray

    def vertices(self, shape: np.ndarray, expr: np.ndarray) -> np.ndarray:
        """(V, 3) at the model's origin, the eyes ahead."""
        return self.template + self.shape_basis @ shape + self.expr_basis @ expr


@dataclass(frozen=True)
class NoJawFit:
    """shape (150,); expr (T, 65); rot, tra (T, 3), axis-angle about the origin and metres. distance_mm (T,): mean, of
    the vertices that were fitted."""

    shape: np.ndarray
    expr: np.ndarray
    rot: np.ndarray
    tra: np.ndarray
    distance_mm: np.ndarray


def load_no_jaw(path: Path) -> NoJawHead:
    """InputError where the model, or the lids' shape beside it, is missing or of other sizes."""
    path = path.expanduser()
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise InputError(f"expected a FLAME model in {path}, found {type(content).__name__}; name the right file")
    template = numbers_of(content, "v_template", path).astype(np.float64)
    directions = numbers_of(content, "shapedirs", path)
    fits = template.ndim == 2 and directions.ndim == 3 and directions.shape[:2] == (len(template), 3)
    if not fits or directions.shape[2] < FIRST_EXPR + N_EXPR - 1:
        raise InputError(
            f"expected v_template (V, 3) and shapedirs (V, 3, 400) in {path}, found {template.shape} and "
            f"{directions.shape}; name flame2023_no_jaw.pkl"
        )
    blink = read_npy(path.with_name(BLINK))
    if blink.size != template.size:
        raise InputError(
            f"expected {len(template)} x 3 numbers in {path.with_name(BLINK)}, found {blink.shape}; take the file of "
            "CAP4D's repository"
        )
    own = directions[..., FIRST_EXPR : FIRST_EXPR + N_EXPR - 1].astype(np.float64)
    lids = blink.reshape(*template.shape, 1).astype(np.float64)
    return NoJawHead(template, directions[..., :N_SHAPE].astype(np.float64), np.concatenate([own, lids], -1))


def fit_no_jaw(head: NoJawHead, vertices: np.ndarray, ids: np.ndarray) -> NoJawFit:
    """vertices (T, V, 3) in the world; ids: of those that count, which move rigidly but for shape and expression.

    In turn: the rigid motion of each frame to the shape so far, then shape and all expressions by least squares at
    once, the expressions eliminated.
    """
    count = len(vertices)
    target = vertices[:, ids].astype(np.float64)
    template = head.template[ids]
    shapes, exprs = head.shape_basis[ids].reshape(-1, N_SHAPE), head.expr_basis[ids].reshape(-1, N_EXPR)
    ridge = VERTEX_NOISE_M**2
    by_expr = np.linalg.inv(exprs.T @ exprs + ridge * np.eye(N_EXPR))
    mixed = exprs.T @ shapes
    reduced = count * (shapes.T @ shapes - mixed.T @ by_expr @ mixed) + ridge * np.eye(N_SHAPE)
    shape, expr = np.zeros(N_SHAPE), np.zeros((count, N_EXPR))
    motions = np.tile(np.eye(4), (count, 1, 1))
    for _ in range(ROUNDS):
        rest = np.zeros((count, len(shapes)))
        for row in range(count):
            known = template + (shapes @ shape + exprs @ expr[row]).reshape(-1, 3)
            motions[row] = rigid_between(torch.from_numpy(known), torch.from_numpy(target[row])).numpy()
            turn, shift = motions[row, :3, :3], motions[row, :3, 3]
            rest[row] = ((target[row] - shift) @ turn - template).ravel()
        told = rest @ exprs
        shape = np.linalg.solve(reduced, (rest @ shapes - told @ by_expr @ mixed).sum(0))
        expr = (told - mixed @ shape) @ by_expr
    left = (rest - shapes @ shape - expr @ exprs.T).reshape(count, -1, 3)
    turns = matrix_to_axis_angle(torch.from_numpy(np.ascontiguousarray(motions[:, :3, :3]))).numpy()
    distances = 1000 * np.linalg.norm(left, axis=-1).mean(-1)
    return NoJawFit(shape, expr, turns, motions[:, :3, 3].copy(), distances)
