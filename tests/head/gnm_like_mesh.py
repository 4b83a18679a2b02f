"""The mesh of a stand-in for GNM's head: another head's, sorted by parts, in quads, with shells and a tongue added."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from gnm_like_fields import bump
from scipy.spatial import KDTree

from vhap.head.model import HeadModel
from vhap.head.regions import region_mask

SHELL = 1.04
"""Size of the shells before the irises in that of the eyeballs."""
LOWEST_M = 0.0656
PARTS = ("skin", "left_eye", "right_eye", "upper_teeth_and_gums", "lower_teeth_and_gums", "tongue")
TONGUE_M = (0.016, 0.005, 0.02)
PUPIL_PART = 0.4
BEHIND_RAD = 2.6


@dataclass
class LikeMesh:
    """points (V, 3); donor_of (V,): the donor's vertex that each goes with; joints (4, 3); shift (3,): from the donor's
    places; groups: name -> (V,) weights."""

    points: np.ndarray
    donor_of: np.ndarray
    joints: np.ndarray
    shift: np.ndarray
    quads: np.ndarray
    quad_uvs: np.ndarray
    groups: dict[str, np.ndarray]
    mirror: np.ndarray
    parts: tuple[str, ...] = PARTS
    eye_middles: tuple[np.ndarray, ...] = field(default=())

    def inside(self, name: str) -> np.ndarray:
        return self.groups[name] > 0.5

    def carried(self, basis: np.ndarray) -> np.ndarray:
        """(N, V, 3) with eyeballs, shells and tongue moved as a whole."""
        basis = basis.copy()
        for name, like in (("left_eye", "left_eye"), ("right_eye", "right_eye"), ("tongue", "lower_teeth_and_gums")):
            basis[:, self.inside(name)] = basis[:, self.inside(like)].mean(1, keepdims=True)
        return basis

    def from_eye(self, growth_m: float) -> np.ndarray:
        """(V, 3): both eyeballs and their shells grow."""
        found = np.zeros_like(self.points)
        for name, middle in zip(("left_eye", "right_eye"), self.eye_middles):
            away = self.points[self.inside(name)] - middle
            found[self.inside(name)] = growth_m * away / np.linalg.norm(away, axis=1).mean()
        return found

    def wider_pupils(self, growth_m: float) -> np.ndarray:
        found = np.zeros_like(self.points)
        for name, middle in zip(("left_eye", "right_eye"), self.eye_middles):
            ids = np.nonzero(self.inside(name) & self.inside("pupils"))[0]
            away = (self.points[ids] - middle)[:, :2]
            found[ids, :2] = growth_m * (away / np.linalg.norm(away, axis=1).max() + 0.1)
        return found

    def mirrored(self, basis: np.ndarray) -> np.ndarray:
        """(N, V, 3) of the nearest mirror partners, turned over."""
        flip = np.array([-1, 1, 1])
        _, partner = KDTree(self.points).query(self.points * flip)
        return basis[:, partner] * flip


def like_mesh(donor: HeadModel) -> LikeMesh:
    own = {name: region_mask(donor, ids).numpy() for name, ids in donor.regions.items()}
    template = donor.template.numpy().astype(np.float64)
    eyes = [own["left_eyeball"], own["right_eyeball"]]
    teeth = [own["teeth_upper"], own["teeth_lower"]]
    skin = ~np.stack([*eyes, *teeth]).any(0)
    used = np.zeros(len(template), bool)
    used[donor.faces.numpy()] = True
    pieces, shells = [], []
    for mask in (skin & used, *eyes, *teeth):
        pieces.append(np.nonzero(mask & used)[0])
    tongue_points, tongue_quads, tongue_uvs = _tongue(template[teeth[1]])
    # Skin, each eyeball and its shell, teeth, tongue.
    order = [pieces[0], pieces[1], pieces[1], pieces[2], pieces[2], pieces[3], pieces[4]]
    part = np.repeat([0, 1, 1, 2, 2, 3, 4], [len(ids) for ids in order])
    shells = np.repeat([0, 0, 1, 0, 1, 0, 0], [len(ids) for ids in order]).astype(bool)
    donor_of = np.concatenate(order)
    points = template[donor_of].copy()
    middles = [_middle(template[mask]) for mask in eyes]
    for side, middle in enumerate(middles, start=1):
        shell = shells & (part == side)
        points[shell] = middle + SHELL * (points[shell] - middle)
    quads, quad_uvs = _quads(donor, points, donor_of, part, shells, middles)
    first = len(points)
    points = np.concatenate([points, tongue_points])
    part = np.concatenate([part, np.full(len(tongue_points), 5)])
    shells = np.concatenate([shells, np.zeros(len(tongue_points), bool)])
    donor_of = np.concatenate([donor_of, np.full(len(tongue_points), pieces[4][0])])
    shift = np.array([0, LOWEST_M - points[:, 1].min(), 0])
    joints = donor.joint_template.numpy()[[0, 1, 3, 4]] + shift
    mesh = LikeMesh(
        points + shift,
        donor_of,
        joints,
        shift,
        np.concatenate([quads, tongue_quads + first]),
        np.concatenate([quad_uvs, tongue_uvs]).clip(0, 1),
        {},
        np.arange(len(points)),
        eye_middles=tuple(middle + shift for middle in middles),
    )
    mesh.groups.update(_groups(donor, own, mesh, part, shells))
    mesh.mirror[:] = _mirror(mesh.points)
    return mesh


def _middle(points: np.ndarray) -> np.ndarray:
    return (points.min(0) + points.max(0)) / 2


def _tongue(lower_teeth: np.ndarray, side: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A closed flat body between the lower teeth: points, quads, UVs of the quads."""
    middle = _middle(lower_teeth) - (0, 0.002, 0.008)
    turn, rise = np.meshgrid(np.arange(2 * side) * np.pi / side, (np.arange(side) + 0.5) * np.pi / side, indexing="ij")
    unit = np.stack([np.sin(rise) * np.sin(turn), np.cos(rise), np.sin(rise) * np.cos(turn)], -1)
    points = middle + unit.reshape(-1, 3) * TONGUE_M
    quads = []
    for k in range(2 * side):
        for m in range(side - 1):
            a, b = k * side + m, (k + 1) % (2 * side) * side + m
            quads.append((a, a + 1, b + 1, b))
    uvs = 0.5 + 0.5 * unit.reshape(-1, 3)[:, [0, 2]] * (0.5 + 0.4 * np.sign(unit.reshape(-1, 3)[:, 1:2]))
    return points, np.array(quads), uvs[np.array(quads)]


def _quads(
    donor: HeadModel,
    points: np.ndarray,
    donor_of: np.ndarray,
    part: np.ndarray,
    shells: np.ndarray,
    middles: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of the donor's triangles, and triangles without a partner as quads of two equal corners; their UVs."""
    faces, uv_faces, uvs = donor.faces.numpy(), donor.uv_faces.numpy(), donor.uvs.numpy().astype(np.float64)
    quads, corner_uvs = [], []
    for number, is_shell in ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (4, 0)):
        new_id = np.full(donor.n_vertices, -1)
        ids = np.nonzero((part == number) & (shells == bool(is_shell)))[0]
        new_id[donor_of[ids]] = ids
        inside = (new_id[faces] >= 0).all(1)
        pairs = _paired(faces[inside], uv_faces[inside])
        part_quads = new_id[pairs[..., 0]]
        quads.append(part_quads)
        if number in (1, 2):
            corner_uvs.append(_seen_from_front(points[part_quads] - middles[number - 1]))
            continue
        placed = uvs[pairs[..., 1]]
        low, high = placed.min((0, 1)), placed.max((0, 1))
        unit = (placed - low) / (high - low)
        # Teeth share a square, one row above the other.
        corner_uvs.append(unit if number == 0 else unit * (1, 0.48) + (0, 0.52 if number == 3 else 0))
    return np.concatenate(quads), np.concatenate(corner_uvs)


def _paired(faces: np.ndarray, uv_faces: np.ndarray) -> np.ndarray:
    """(Q, 4, 2): vertex and texture corner of each quad's corners."""
    corners = np.stack([faces, uv_faces], -1)
    owner: dict[tuple, int] = {}
    free = np.ones(len(faces), bool)
    edges = [[tuple(map(tuple, (c[k], c[(k + 1) % 3]))) for k in range(3)] for c in corners.tolist()]
    for row, own in enumerate(edges):
        for edge in own:
            owner[edge] = row
    quads = []
    for row, own in enumerate(edges):
        if not free[row]:
            continue
        free[row] = False
        quad = None
        for k, (start, end) in enumerate(own):
            other = owner.get((end, start), -1)
            if other >= 0 and free[other]:
                far = next(tuple(c) for c in corners[other].tolist() if tuple(c) not in (start, end))
                # The shared edge runs from the quad's third corner to its first.
                quad = [end, tuple(corners[row, (k + 2) % 3].tolist()), start, far]
                free[other] = False
                break
        if quad is None:
            a, b, c = map(tuple, corners[row].tolist())
            quad = [a, b, c, c]
        quads.append(quad)
    return np.array(quads)


def _seen_from_front(away: np.ndarray) -> np.ndarray:
    """(..., 3) about an eye's middle -> (..., 2): the pupil in the middle, the back of the eye all about."""
    across = away[..., :2].copy()
    # Quads about the vertex behind would lie over the whole circle.
    behind = (np.arctan2(np.linalg.norm(across, axis=-1), away[..., 2]) > BEHIND_RAD).any(-1)
    across[behind] = across[behind].sum(-2, keepdims=True)
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    angle = np.arctan2(length, away[..., 2:])
    return 0.5 + 0.49 * angle / np.pi * across / np.maximum(length, 1e-9)


def _groups(
    donor: HeadModel, own: dict[str, np.ndarray], mesh: LikeMesh, part: np.ndarray, shells: np.ndarray
) -> dict[str, np.ndarray]:
    def of(name: str) -> np.ndarray:
        return own[name][mesh.donor_of] if name in own else np.zeros(len(part), bool)

    parts = {name: part == number for number, name in enumerate(PARTS)}
    skin, x = parts["skin"], mesh.points[:, 0]
    eyes = parts["left_eye"] | parts["right_eye"]
    interiors, exteriors = eyes & ~shells, eyes & shells
    irises = of("irises") & interiors
    pupils = irises & (_from_axis(mesh, part) < PUPIL_PART * _from_axis(mesh, part)[irises].max())
    lids = skin & (of("eyelids") | of("eye_sockets"))
    mouth = skin & of("lip_inside")
    lower = _lower_lip(donor)[mesh.donor_of]
    teeth = parts["upper_teeth_and_gums"] | parts["lower_teeth_and_gums"]
    gums = np.zeros(len(part), bool)
    for sign, name in ((1, "upper_teeth_and_gums"), (-1, "lower_teeth_and_gums")):
        height = sign * mesh.points[:, 1]
        gums |= parts[name] & (height >= np.quantile(height[parts[name]], 0.75))
    left, right = _sides(x)
    low = mesh.joints[2:, 1].mean() - mesh.points[:, 1]
    named = {
        **parts,
        "skin_exterior": skin & ~mouth,
        "hockey_mask": skin & of("face") & ~lids & ~mouth,
        "left": left,
        "right": right,
        "ears": skin & of("ears"),
        "eyes": eyes,
        "eye_interiors": interiors,
        "eye_exteriors": exteriors,
        "scleras": interiors & ~irises,
        "irises": irises & ~pupils,
        "pupils": pupils,
        "eye_sockets": lids,
        "upper_lip": skin & of("lips") & ~mouth & ~lower,
        "lower_lip": skin & of("lips") & ~mouth & lower,
        "mouth_sock": mouth,
        "teeth": teeth & ~gums,
        "gums": gums,
        "forehead_region": skin & of("forehead"),
        "nose_region": skin & of("nose"),
        "left_orbital_region": skin & of("left_eye_region"),
        "right_orbital_region": skin & of("right_eye_region"),
    }
    windows = {
        f"expression_basis_{side}_eye": bump(np.linalg.norm(mesh.points - joint, axis=1), 0.055)
        for side, joint in (("left", mesh.joints[2]), ("right", mesh.joints[3]))
    }
    windows["expression_basis_mouth_nose_ears"] = np.clip((low - 0.01) / 0.03, 0, 1) * np.clip(
        (0.16 - low) / 0.04, 0, 1
    )
    return {name: mask.astype(np.float64) for name, mask in (named | windows).items()}


def _from_axis(mesh: LikeMesh, part: np.ndarray) -> np.ndarray:
    """(V,) distances of eyeball vertices from the line straight ahead of their middle."""
    found = np.full(len(part), np.inf)
    for number, middle in zip((1, 2), mesh.eye_middles):
        found[part == number] = np.linalg.norm((mesh.points[part == number] - middle)[:, :2], axis=1)
    return found


def _lower_lip(donor: HeadModel) -> np.ndarray:
    """(V,) bool: what goes down as the mouth opens."""
    if donor.has_jaw:
        return donor.weights[:, 2].numpy() > 0.4
    opening = donor.expr_basis[..., next(iter(donor.open_mouth))].numpy()[:, 1]
    return opening < 0.3 * opening.min()


def _sides(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right of equal sizes that share the vertices between them."""
    left, right = x >= -1e-4, x <= 1e-4
    small, large = sorted((left, right), key=lambda mask: int(mask.sum()))
    extra = np.argsort(np.where(small, np.inf, np.abs(x)))[: large.sum() - small.sum()]
    small[extra] = True
    return left, right


def _mirror(points: np.ndarray) -> np.ndarray:
    """A permutation: mirror partners where two vertices are each other's, else the vertex itself."""
    _, partner = KDTree(points).query(points * (-1, 1, 1))
    mutual = partner[partner] == np.arange(len(points))
    return np.where(mutual, partner, np.arange(len(points)))
