"""The order in which the tracker keeps a GNM head's components: by how far they move the skin.

The file lists them region after region, so that its first hundred expressions are those of the left eye alone. Here
the first ones are those that matter most, whatever their region. Components that leave the skin where it is (tongue,
pupils) come after all that move it, and the teeth's identity last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from vhap.head.gnm.file import SKIN, GnmFile, regions_of

LAST = "teeth"
DIGITS = 4
"""Of a reach that count: sums differ in their last bits between machines, and the order must not."""


def component_orders(gnm: GnmFile) -> tuple[np.ndarray, np.ndarray]:
    """Indices (I,) of identity and (E,) of expression components in the file, in the tracker's order."""
    skin = gnm.group(SKIN)
    last = [name == LAST for name in regions_of(gnm.names("identity_names"))]
    expressions = gnm["expression_basis"]
    return _order(gnm["vertex_identity_basis"], skin, last), _order(expressions, skin, [False] * len(expressions))


def _order(basis: np.ndarray, skin: np.ndarray, last: Sequence[bool]) -> np.ndarray:
    """By whether they come last, reach on the skin, reach on all vertices, place in the file."""
    squared = np.square(basis, dtype=np.float64).sum(-1)
    on_skin, on_all = _rounded(np.sqrt(squared[:, skin].mean(1))), _rounded(np.sqrt(squared.mean(1)))
    return np.lexsort((-on_all, -on_skin, np.array(last)))


def _rounded(reach: np.ndarray) -> np.ndarray:
    return np.array([float(f"{value:.{DIGITS}g}") for value in reach])


def order_hash(*orders: np.ndarray) -> str:
    """8 hex digits, for a head's identity: results of another order are another head's."""
    return hashlib.sha256(b";".join(order.astype("<i8").tobytes() for order in orders)).hexdigest()[:8]


def in_file_order(values: np.ndarray, kept_names: Sequence[str], file_names: Sequence[str]) -> np.ndarray:
    """Coefficients (..., K) of a run, by their names, as the file and its own code have them: (..., N), zeros for those
    that the run left out. ValueError for a name that the file lacks."""
    places = {name: index for index, name in enumerate(file_names)}
    if unknown := [name for name in kept_names if name not in places]:
        raise ValueError(f"no component {unknown[0]} among the file's names")
    found = np.zeros((*values.shape[:-1], len(file_names)), values.dtype)
    found[..., [places[name] for name in kept_names]] = values
    return found
