"""What has to hold in a GNM head's file, checked on its arrays.

`broken`: the format's own promises, and what this project builds upon; such a file is refused. `note`: what was
measured on one file and may be otherwise in another one, as sizes; such a file is used, and the log says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from vhap.head.gnm.file import CORNEAS, EYES, JOINTS, REMEDY, SKIN, VARIANT, VERSION, GnmFile, regions_of
from vhap.head.gnm.pose import posed_vertices

State = Literal["ok", "note", "broken"]
SIZES = {"vertices": 17821, "triangles": 35324, "identity components": 253, "expression components": 383}
"""Of the published file."""
NAMES = {
    "identity_names": re.compile(r"(head|eyes|teeth)_\d{3}"),
    "expression_names": re.compile(
        r"(left_eye_region|right_eye_region|lower_face_region|tongue|pupils)_\d{3}|tongue_mean"
    ),
}
EXACT = 1e-6
SUM_TOLERANCE = 1e-5
LEAST_MEMBERSHIP = 1e-4
EXTENT_M = (0.2554, 0.3415, 0.2387)
"""Of the published template."""
EXTENT_TOLERANCE_M = 1e-3
HEIGHT_RANGE_M = (0.1, 0.6)
IN_CORNEA_M = 5e-4
"""How far a vertex of the eyeball may stand out: shells are met at their vertices only."""
SHELL_COMPONENTS, SHELL_SIGMAS = 3, 2.0
PROJECTED = (0, 2, 4)


class Found(NamedTuple):
    state: State
    text: str


class Finding(NamedTuple):
    name: str
    state: State
    text: str


def examine(gnm: GnmFile) -> list[Finding]:
    """Every check's finding. Those of the content are made only where the structure holds."""
    found = [Finding(name, *check(gnm)) for name, check in STRUCTURE.items()]
    if any(finding.state == "broken" for finding in found):
        return found
    return [*found, *(Finding(name, *check(gnm)) for name, check in CONTENT.items())]


def broken(gnm: GnmFile, expected: str, found: str) -> Found:
    return Found("broken", f"expected {expected} in {gnm.path}, found {found}; {REMEDY}")


def _version(gnm: GnmFile) -> Found:
    version, variant = gnm.version, str(gnm["variant"])
    if not version.startswith(VERSION) or variant != VARIANT:
        return broken(gnm, f"version {VERSION}x of variant {VARIANT}", f"{version} of {variant}")
    return Found("ok" if version == "3.0" else "note", f"{version}, {variant}")


def _sizes(gnm: GnmFile) -> Found:
    found = sizes_of(gnm)
    words = ", ".join(f"{value} {name}" for name, value in found.items())
    odd = [f"{value} {name}" for name, value in SIZES.items() if found[name] != value]
    return Found("note", f"{words} (published: {', '.join(odd)})") if odd else Found("ok", words)


def sizes_of(gnm: GnmFile) -> dict[str, int]:
    (identities, vertices, _), expressions = gnm["vertex_identity_basis"].shape, len(gnm["expression_basis"])
    return dict(zip(SIZES, (vertices, len(gnm["triangles"]), identities, expressions)))


def _arrays(gnm: GnmFile) -> Found:
    kinds = sorted({f"{kind} ({sum(k == kind for k in gnm.kinds.values())})" for kind in gnm.kinds.values()})
    if gnm.extra:
        return Found("note", f"not read: {', '.join(gnm.extra)}; the others are {', '.join(kinds)}")
    return Found("ok", f"all there, no others; kinds {', '.join(kinds)}")


def _names(gnm: GnmFile) -> Found:
    for array, pattern in NAMES.items():
        names = gnm.names(array)
        odd = [name for name in names if not pattern.fullmatch(name)]
        if odd or len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            return broken(gnm, f"distinct {array} of the known regions", ", ".join((odd or twice)[:4]))
    regions = dict.fromkeys(regions_of((*gnm.names("identity_names"), *gnm.names("expression_names"))))
    return Found("note" if gnm.former_names else "ok", f"{', '.join(regions)}{' (former names)' * gnm.former_names}")


def _joints(gnm: GnmFile) -> Found:
    names, parents = gnm.names("joint_names"), gnm.parents
    if names != JOINTS:
        return broken(gnm, f"the joints {', '.join(JOINTS)}", ", ".join(names))
    if parents != (-1, 0, 1, 1):
        return broken(
            gnm, "each joint's parent before it, the eyes on the head, the head on the neck", f"parents {parents}"
        )
    return Found("ok", f"{', '.join(names)}; parents {gnm['joint_parent_indices'].tolist()}")


def _indices(gnm: GnmFile) -> Found:
    count = len(gnm["template_vertex_positions"])
    for name in ("quads", "triangles", "mirror_indices"):
        low, high = int(gnm[name].min(initial=0)), int(gnm[name].max(initial=0))
        if low < 0 or high >= count:
            return broken(gnm, f"{name} from 0 to {count - 1}", f"{low} to {high}")
    if (np.sort(gnm["mirror_indices"]) != np.arange(count)).any():
        return broken(gnm, "mirror_indices that name each vertex once", "others")
    return Found("ok", "all are of vertices; mirror_indices is a permutation")


def _groups(gnm: GnmFile) -> Found:
    weights, names = gnm["vertex_groups"], gnm.names("vertex_group_names")
    if weights.min(initial=0) < 0 or weights.max(initial=0) > 1:
        return broken(gnm, "vertex_groups from 0 to 1", f"{weights.min():.4g} to {weights.max():.4g}")
    empty = [name for name, row in zip(names, weights) if row.max(initial=0) <= LEAST_MEMBERSHIP]
    if empty:
        return broken(gnm, "vertices in each of vertex_groups", f"none in {', '.join(empty[:4])}")
    twice = sorted({name for name in names if names.count(name) > 1})
    text = f"{len(names)}: {', '.join(names)}"
    return Found("note", f"{text}; of {', '.join(twice)} the first counts") if twice else Found("ok", text)


def _parts(gnm: GnmFile) -> Found:
    parts, groups = gnm.names("mesh_component_names"), gnm.names("vertex_group_names")
    if missing := [name for name in (SKIN, *EYES) if name not in parts]:
        return broken(gnm, f"{', '.join((SKIN, *EYES))} among mesh_component_names", f"no {', '.join(missing)}")
    if missing := [name for name in parts if name not in groups]:
        return broken(gnm, "a vertex group for each of mesh_component_names", f"none for {', '.join(missing)}")
    rows = gnm["vertex_groups"][[groups.index(name) for name in parts]]
    if (rows.sum(0) != 1).any():
        sums = rows.sum(0)
        return broken(gnm, "groups of the mesh's parts that add up to 1", f"{sums[np.abs(sums - 1).argmax()]:.4g}")
    if not gnm.has_group(CORNEAS):
        return Found("note", f"{', '.join(parts)}; no group {CORNEAS}: shells before the irises would be drawn")
    return Found("ok", ", ".join(parts))


def _triangles(gnm: GnmFile) -> Found:
    quads, triangles = gnm["quads"], gnm["triangles"]
    if len(triangles) != 2 * len(quads):
        return broken(gnm, f"two triangles for each of {len(quads)} quads", f"{len(triangles)} triangles")
    bare = (triangles == np.roll(triangles, 1, 1)).any(1).sum()
    pairs = np.concatenate([quads[:, [0, 1, 2]], quads[:, [2, 3, 0]]])
    text = f"{len(quads)} quads, {bare} triangles of no area"
    if (pairs != triangles).any():
        return Found("note", f"{text}; their corners are not those of the quads in the order of the UVs")
    return Found("ok", text)


def _uvs(gnm: GnmFile) -> Found:
    quads, triangles = gnm["quad_uvs"], gnm["triangle_uvs"]
    if len(triangles) != 2 * len(quads):
        return Found("note", "not compared: see triangles")
    low, high = min(quads.min(), triangles.min()), max(quads.max(), triangles.max())
    if low < 0 or high > 1:
        return broken(gnm, "UVs from 0 to 1", f"{low:.4g} to {high:.4g}")
    if (np.concatenate([quads[:, [0, 1, 2]], quads[:, [2, 3, 0]]]) != triangles).any():
        return broken(gnm, "triangle_uvs that are those of the quads' corners 0 1 2, then 2 3 0", "others")
    return Found("ok", "from 0 to 1, of quads and triangles alike")


def _skinning(gnm: GnmFile) -> Found:
    weights = gnm["skinning_weights"]
    sums = weights.sum(0)
    if np.abs(sums - 1).max() > SUM_TOLERANCE or weights.min() < -SUM_TOLERANCE:
        worst = sums[np.abs(sums - 1).argmax()]
        return broken(
            gnm, "skinning_weights from 0 that add up to 1", f"a sum of {worst:.5g}, {weights.min():.3g} least"
        )
    most = int((weights > 0).sum(0).max())
    rim = _rim(gnm)
    text = f"{most} joints at a vertex at most; at the mesh's lower rim the neck's weight is {_range(weights[0, rim])}"
    return Found("ok" if most <= 2 else "note", text)


def _rim(gnm: GnmFile) -> np.ndarray:
    """Vertex ids of open edges in the lower third of the skin."""
    faces = gnm["triangles"]
    faces = faces[(faces != np.roll(faces, 1, 1)).all(1)]
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    ids = np.unique(unique[count == 1])
    height = gnm["template_vertex_positions"][:, 1]
    low = height < height.min() + np.ptp(height) / 3
    return ids[low[ids] & gnm.group(SKIN)[ids]]


def _range(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}" if len(values) else "none: it has no lower rim"


def _orientations(gnm: GnmFile) -> Found:
    off = np.abs(gnm["bone_aligned_template_joint_orientations"] - np.eye(3)).max()
    return Found("ok" if off <= EXACT else "note", f"{off:.2g} from the identity; they move nothing")


def _correctives(gnm: GnmFile) -> Found:
    by_joint = np.abs(gnm["pose_correctives_regressor"]).reshape(len(JOINTS), -1).max(1)
    if by_joint[0] > 0:
        return broken(
            gnm,
            "no pose correctives of the neck, whose rotation is the head's in the world here",
            f"up to {by_joint[0]:.3g} m",
        )
    return Found("ok", "all zero") if not by_joint.any() else Found("note", f"up to {by_joint.max():.3g} m, kept")


def _sides(gnm: GnmFile) -> Found:
    needed = ("left", "right", *EYES, "eye_interiors", CORNEAS)
    if missing := [name for name in needed if not gnm.has_group(name)]:
        return Found("note", f"no groups {', '.join(missing)}")
    left, right, left_eye, right_eye, interiors, exteriors = (gnm.group(name) for name in needed)
    faults = {
        f"left has {left.sum()} vertices, right {right.sum()}": left.sum() != right.sum(),
        "some are on neither side": not (left | right).all(),
        "the eyes share vertices": (left_eye & right_eye).any(),
        "the eyes are not their interiors and exteriors": ((left_eye | right_eye) != (interiors | exteriors)).any(),
    }
    whites = gnm.group("scleras")
    faults["the whites of the eyes are in the shells, which are not drawn"] = (
        bool(whites.any()) and not (whites & ~exteriors).any()
    )
    if wrong := [words for words, is_so in faults.items() if is_so]:
        return Found("note", "; ".join(wrong))
    return Found("ok", f"{left.sum()} vertices left and right, {left_eye.sum()} and {right_eye.sum()} in the eyes")


def _rest(gnm: GnmFile) -> Found:
    identity, expression = (np.zeros(len(gnm[name])) for name in ("vertex_identity_basis", "expression_basis"))
    off = np.abs(
        posed_vertices(gnm, identity, expression, np.zeros((len(JOINTS), 3)), np.zeros(3))
        - gnm["template_vertex_positions"]
    )
    if off.max() > EXACT:
        return broken(gnm, "the template where all parameters are zero", f"{off.max():.3g} m from it")
    return Found("ok", f"{off.max():.1g} m from the template")


def _units(gnm: GnmFile) -> Found:
    template, joints = gnm["template_vertex_positions"], gnm["template_joint_positions"]
    extent, (neck, _, left_eye, right_eye) = np.ptp(template, axis=0), joints
    if not HEIGHT_RANGE_M[0] < extent[1] < HEIGHT_RANGE_M[1]:
        return broken(gnm, f"a head in metres, {HEIGHT_RANGE_M[0]} to {HEIGHT_RANGE_M[1]} high", f"{extent[1]:.4g}")
    right_way = {
        "the left eye at x > 0": left_eye[0] > 0 > right_eye[0],
        "the eyes above the neck": left_eye[1] > neck[1],
        "the eyes before the neck": left_eye[2] > neck[2],
    }
    if wrong := [words for words, holds in right_way.items() if not holds]:
        return broken(gnm, ", ".join(wrong), "the opposite")
    text = " x ".join(f"{side:.4f}" for side in extent)
    usual = np.abs(extent - EXTENT_M).max() <= EXTENT_TOLERANCE_M
    published = " x ".join(map(str, EXTENT_M))
    return Found("ok", f"{text} m") if usual else Found("note", f"{text} m (published: {published})")


def _eyes(gnm: GnmFile) -> Found:
    """Only their joints turn eyeballs, and only pupils_ components change them."""
    kept = [name != "pupils" for name in regions_of(gnm.names("expression_names"))]
    moved = np.abs(np.tensordot(np.array(kept, np.float32), gnm["expression_basis"], 1))
    largest = moved[gnm.group(EYES[0]) | gnm.group(EYES[1])].max()
    if largest > EXACT:
        return broken(gnm, "eyes that no expression moves but the pupils'", f"{largest:.3g} m")
    return Found("ok", f"moved by {largest:.1g} m by all expressions but pupils")


def _identity(gnm: GnmFile) -> Found:
    # In double precision: a sum that is merely small may not move a single one.
    same = (gnm["vertex_identity_basis"].sum(0, dtype=np.float64) == 0).sum()
    if same:
        return broken(gnm, "every coordinate to change with the identity", f"{same} that do not")
    return Found("ok", "every coordinate changes")


def _corneas(gnm: GnmFile) -> Found:
    """Vertices of the interiors seen from each eye's middle, against those of the shell in nearly their direction."""
    from scipy.spatial import KDTree

    shells, worst = gnm.group(CORNEAS), 0.0
    if not shells.any():
        return Found("note", "no shells to look at")
    for index in range(-1, 2 * SHELL_COMPONENTS):
        amounts = np.zeros(max(1, index // 2 + 1))
        amounts[-1] = 0 if index < 0 else SHELL_SIGMAS * (1 if index % 2 else -1)
        points = posed_vertices(gnm, amounts)
        for eye in EYES:
            inner, outer = (points[gnm.group(eye) & side] for side in (~shells, shells))
            if len(inner) and len(outer):
                middle = (outer.min(0) + outer.max(0)) / 2
                inner, outer = inner - middle, outer - middle
                length, reach = np.linalg.norm(inner, axis=1), np.linalg.norm(outer, axis=1)
                _, near = KDTree(outer / reach[:, None]).query(inner / np.maximum(length, 1e-9)[:, None])
                worst = max(worst, float((length - reach[near]).max()))
    state: State = "ok" if worst <= IN_CORNEA_M else "note"
    return Found(
        state, f"eyes stand out of their shells by {1000 * worst:.2f} mm at most (template, +-2 of {index // 2 + 1})"
    )


def _projection(gnm: GnmFile) -> Found:
    """Least squares finds a component in the basis: components are independent of each other."""
    for name in ("vertex_identity_basis", "expression_basis"):
        basis = gnm[name].reshape(len(gnm[name]), -1).astype(np.float64)
        length = np.linalg.norm(basis, axis=1)
        if not length.all():
            return broken(gnm, f"no empty component in {name}", f"{(length == 0).sum()}")
        basis /= length[:, None]
        wanted = [k for k in PROJECTED if k < len(basis)]
        gram = basis @ basis.T
        try:
            found = np.linalg.solve(gram, gram[:, wanted])
        except np.linalg.LinAlgError:
            return broken(gnm, f"independent components in {name}", "dependent ones")
        off = np.abs(found - np.eye(len(basis))[:, wanted]).max()
        if off > EXACT:
            return broken(gnm, f"independent components in {name}", f"a coefficient {off:.2g} off by least squares")
    return Found("ok", "components are independent")


STRUCTURE: dict[str, Callable[[GnmFile], Found]] = {
    "version": _version,
    "arrays": _arrays,
    "sizes": _sizes,
    "names": _names,
    "joints": _joints,
    "indices": _indices,
    "groups": _groups,
    "parts": _parts,
    "triangles": _triangles,
    "UVs": _uvs,
}
CONTENT: dict[str, Callable[[GnmFile], Found]] = {
    "skinning weights": _skinning,
    "orientations": _orientations,
    "pose correctives": _correctives,
    "sides": _sides,
    "rest": _rest,
    "units": _units,
    "eyes": _eyes,
    "identity": _identity,
    "corneas": _corneas,
    "projection": _projection,
}
