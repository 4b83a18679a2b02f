"""The published GNM head posed by Google's own code, as a third party measured it: five vertices that fix the order of
rotations, parents and skinning in one test."""

from __future__ import annotations

import numpy as np

from vhap.head.gnm.checks import SIZES, Found, broken, sizes_of
from vhap.head.gnm.file import GnmFile
from vhap.head.gnm.pose import posed_vertices

IDENTITY = (0.2, -0.1, 0.05, 0.15, -0.08)
EXPRESSION = (0.3, -0.2, 0.1, 0.05, -0.12)
ROTATIONS = ((0.05, -0.03, 0.02), (0.1, 0.04, -0.06), (-0.02, 0.08, 0.03), (0.04, -0.07, 0.01))
TRANSLATION = (0.01, -0.02, 0.03)
VERTICES = {
    0: (0.06403931, 0.13797502, 0.05404025),
    100: (0.07011187, 0.15099317, 0.01014329),
    1000: (0.02242816, 0.26271677, 0.16212103),
    10000: (-0.05772833, 0.24265987, 0.12255438),
    17820: (-0.02481171, 0.27707356, 0.13528235),
}
TOLERANCE_M = 2e-5


def posed_reference(gnm: GnmFile) -> Found:
    """Whether a posed head is where it was measured, of a file with the published sizes."""
    if sizes_of(gnm) != SIZES:
        return Found("note", "not compared: known of a file with other sizes")
    rows = np.array(ROTATIONS), np.array(TRANSLATION)
    posed = posed_vertices(gnm, np.array(IDENTITY), np.array(EXPRESSION), *rows)
    off = np.abs(posed[list(VERTICES)] - np.array(list(VERTICES.values()))).max()
    if off > TOLERANCE_M:
        return broken(gnm, f"a posed head within {TOLERANCE_M:g} m of the published one", f"{off:.3g} m between them")
    return Found("ok", f"{off:.1g} m from the published one")
