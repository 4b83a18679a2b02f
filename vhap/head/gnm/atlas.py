"""One texture for all parts of a GNM head. The file's parts share one unit square and overlap there: skin, each
eyeball, teeth with gums, tongue. Here each has a tile of its own."""

from __future__ import annotations

import numpy as np

from vhap.head.gnm.file import EYES, SKIN, TEETH, TONGUE

MARGIN = 0.004
SKIN_TILE = (0.0, 0.25, 1.0, 0.75)
SMALL_TILES = ((*EYES[:1],), (*EYES[1:],), TEETH, (TONGUE,))
"""Parts of the small tiles below the skin's, from the left. Both rows of teeth share one in the file, too."""


def pack(triangles: np.ndarray, corner_uvs: np.ndarray, parts: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """uvs (U, 2) and uv_faces (F, 3) of triangles (F, 3) with corner_uvs (F, 3, 2).

    parts: name -> (V,) bool. A corner's place is its own where another corner of the same vertex has another one.
    Each tile's charts fill it. Parts of unknown names share the tongue's.
    """
    tiles = [[SKIN], *(list(names) for names in SMALL_TILES)]
    tiles[-1] += [name for name in parts if not any(name in names for names in tiles)]
    side = SKIN_TILE[1]
    frames = [SKIN_TILE, *((side * k, 0.0, side, side) for k in range(len(SMALL_TILES)))]
    placed = np.zeros_like(corner_uvs, dtype=np.float64)
    for names, (left, bottom, width, height) in zip(tiles, frames):
        inside = np.zeros(len(triangles), bool)
        for name in names:
            if name in parts:
                inside |= parts[name][triangles].all(1)
        if inside.any():
            uvs = corner_uvs[inside].astype(np.float64)
            low, high = uvs.min((0, 1)), uvs.max((0, 1))
            share = (uvs - low) / np.maximum(high - low, 1e-9)
            inner = np.array([width, height]) - 2 * MARGIN
            placed[inside] = np.array([left, bottom]) + MARGIN + share * inner
    rows = np.concatenate([triangles.reshape(-1, 1), placed.reshape(-1, 2)], 1)
    unique, inverse = np.unique(rows, axis=0, return_inverse=True)
    return unique[:, 1:].astype(np.float32), inverse.reshape(-1, 3).astype(np.int64)
