"""From what is known of a face to all of a person: hair, neck and clothes by place and colour.

Every pixel of the matte has, by its place relative to the face, probabilities of being skin, hair or cloth. Colours
then decide, as in GrabCut (Rother et al. 2004), but between three classes, with histograms for colours, and a guided
filter (He et al. 2010, OpenCV's) in place of the graph cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vhap.relightable.class_maps import FaceClass
from vhap.util.optional import import_or_explain

SKIN, HAIR, CLOTH = range(3)
SKIN_CLASSES = (
    FaceClass.SKIN, FaceClass.NOSE, FaceClass.NECK, FaceClass.LEFT_EAR, FaceClass.RIGHT_EAR,
)  # fmt: skip
COLOUR_SPACE_BINS = (16, 20, 20)
"""Of lightness and the two chromaticities of CIE L*a*b*."""
CHROMA_RANGE = (78, 178)
"""Of 8-bit a and b: what skin, hair and nearly all cloths have; what lies outside counts as the border."""
BLUR_BINS = 0.8
UNIFORM_SHARE = 0.02
"""Of colours that a class has shown nowhere yet."""
MOST_EVIDENCE = 5.0
"""Of colour, in log odds between two classes."""
ROUNDS = 6
MATTE = 128
"""Alpha from which on a pixel is the person's."""


@dataclass(frozen=True)
class FacePlace:
    """eyes (2,): middle of the eyes' outer corners; chin (2,); px, pixel centres at half integers."""

    eyes: np.ndarray
    chin: np.ndarray

    @property
    def size(self) -> float:
        """From the eyes to the chin, px: the unit of all lengths here."""
        return float(np.linalg.norm(self.eyes - self.chin))

    def heights(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Above the chin along the face (H, W): 1 at the eyes; and above it in the picture."""
        rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
        up = (self.eyes - self.chin) / self.size
        along = ((columns - self.chin[0]) * up[0] + (rows - self.chin[1]) * up[1]) / self.size
        return along, (self.chin[1] - rows) / self.size


def complete_classes(picture: np.ndarray, alpha: np.ndarray, known: np.ndarray, place: FacePlace) -> np.ndarray:
    """(H, W) uint8 classes of the whole person.

    picture (H, W, 3) uint8 RGB; alpha (H, W) uint8; known (H, W): classes of what is seen of the head, as far as the
    head's surface or its landmarks tell, BACKGROUND elsewhere. Parts of the face stay as they are known; hair, clothes
    and the outline of skin and neck follow the colours.
    """
    inside = alpha >= MATTE
    prior = _prior(known, inside, place)
    likely = _by_colour(picture, prior, _examples(known, prior, place), inside)
    smooth = _along_edges(picture, likely, place.size)
    coarse = _blurred(np.eye(3, dtype=np.float32)[smooth.argmax(-1)] * inside[..., None], 0.015 * place.size).argmax(-1)
    return _assembled(coarse, known, inside, place)


def _prior(known: np.ndarray, inside: np.ndarray, place: FacePlace) -> np.ndarray:
    """(H, W, 3) probabilities of skin, hair and cloth by place alone."""
    along, above = place.heights(known.shape)
    # A head that is tilted tilts its hair; clothes hang straight.
    height = (along + above) / 2
    on_head = known != FaceClass.BACKGROUND
    skin = np.isin(known, SKIN_CLASSES).astype(np.float32)
    hair = (known == FaceClass.HAIR).astype(np.float32)
    off = (~on_head).astype(np.float32)
    upper = 1 / (1 + np.exp(-(height + 0.12) / 0.12))
    stray_skin = np.where(height > -0.3, 0.1, 0.05)
    neck = known == FaceClass.NECK
    under = np.clip((-height - 0.1) / 0.6, 0, 1) * neck
    prior = np.stack(
        [
            skin * (1 - 0.6 * under) + off * stray_skin,
            hair + off * (1 - stray_skin) * upper,
            skin * 0.6 * under + off * (1 - stray_skin) * (1 - upper),
        ],
        -1,
    )
    prior = _blurred(prior.astype(np.float32), 0.06 * place.size)
    base = np.array([0.05, 0.05, 0.02], np.float32)
    # Beards and brows have the hair's colour: within the face nothing is hair.
    core = _core(known, place)
    prior = prior + base
    prior[core] = (1, 1e-4, 1e-4)
    # Nobody wears clothes above the mouth.
    prior[..., CLOTH] *= 1 / (1 + np.exp((height - 0.1) / 0.08))
    prior[..., HAIR] *= 0.2 + 0.8 / (1 + np.exp((-height - 1.2) / 0.2))
    return prior / prior.sum(-1, keepdims=True)


def _core(known: np.ndarray, place: FacePlace) -> np.ndarray:
    """(H, W) bool: the inner face."""
    cv2 = import_or_explain("cv2", "pip install opencv-contrib-python")
    not_hair = np.isin(
        known, (FaceClass.BACKGROUND, FaceClass.HAIR, FaceClass.LEFT_EAR, FaceClass.RIGHT_EAR, FaceClass.NECK)
    )
    distance = cv2.distanceTransform((~not_hair).astype(np.uint8), cv2.DIST_L2, 5)
    return distance > 0.3 * place.size


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    cv2 = import_or_explain("cv2", "pip install opencv-contrib-python")
    return cv2.GaussianBlur(values, (0, 0), max(sigma, 0.5))


def _examples(known: np.ndarray, prior: np.ndarray, place: FacePlace) -> np.ndarray:
    """(H, W, 3) bool: where each class shows its colours. Hair has below the chin those that it has above it."""
    along, _ = place.heights(known.shape)
    skin = np.isin(known, (FaceClass.SKIN, FaceClass.NOSE, FaceClass.NECK))
    return np.stack([skin, (along > 0.4) & (prior[..., HAIR] > 0.3), along < 0.4], -1)


def _by_colour(picture: np.ndarray, prior: np.ndarray, examples: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(H, W, 3) probabilities after the colours of the classes, which are learnt from the picture."""
    bins = _bins(picture)
    likely = prior
    for step in range(ROUNDS):
        weight = (likely * examples)[inside]
        if step == 0:
            weight = weight**2
        densities = np.stack([_density(bins[inside], weight[:, k]) for k in range(3)], -1)
        evidence = np.log(densities)
        evidence = evidence - evidence.max(-1, keepdims=True)
        likely = prior * np.exp(np.maximum(evidence, -MOST_EVIDENCE))[bins]
        likely = likely / likely.sum(-1, keepdims=True)
    return likely


def _bins(picture: np.ndarray) -> np.ndarray:
    """(H, W) index of the colour's bin."""
    cv2 = import_or_explain("cv2", "pip install opencv-contrib-python")
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    low, high = CHROMA_RANGE
    lightness = np.minimum(lab[..., 0] / 256 * COLOUR_SPACE_BINS[0], COLOUR_SPACE_BINS[0] - 1).astype(int)
    chroma = np.clip((lab[..., 1:] - low) / (high - low), 0, 0.999)
    a, b = (chroma[..., k] * COLOUR_SPACE_BINS[k + 1] for k in range(2))
    return np.ravel_multi_index((lightness, a.astype(int), b.astype(int)), COLOUR_SPACE_BINS)


def _density(bins: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(bins,) probability of a colour in a class."""
    from scipy.ndimage import gaussian_filter

    count = int(np.prod(COLOUR_SPACE_BINS))
    counts = np.bincount(bins, weight, count).reshape(COLOUR_SPACE_BINS)
    smooth = gaussian_filter(counts, BLUR_BINS).ravel()
    total = smooth.sum()
    share = smooth / total if total > 0 else np.full(count, 1 / count)
    return (1 - UNIFORM_SHARE) * share + UNIFORM_SHARE / count


def _along_edges(picture: np.ndarray, likely: np.ndarray, unit: float) -> np.ndarray:
    cv2 = import_or_explain("cv2", "pip install opencv-contrib-python")
    radius = max(2, round(0.06 * unit))
    guide = picture.astype(np.float32) / 255
    return np.stack(
        [cv2.ximgproc.guidedFilter(guide, likely[..., k].astype(np.float32), radius, 1e-3) for k in range(3)], -1
    )


def _assembled(coarse: np.ndarray, known: np.ndarray, inside: np.ndarray, place: FacePlace) -> np.ndarray:
    """The final classes: parts of the face where they are skin, neck below the chin, nothing outside of the matte."""
    along, _ = place.heights(known.shape)
    other_skin = np.where(along < 0, int(FaceClass.NECK), int(FaceClass.SKIN))
    is_part = ~np.isin(known, (FaceClass.BACKGROUND, FaceClass.HAIR))
    skin = np.where(is_part, known, other_skin)
    skin = np.where((known == FaceClass.NECK) & (along > 0.15), int(FaceClass.NECK), skin)
    classes = np.choose(coarse, [skin, int(FaceClass.HAIR), int(FaceClass.CLOTH)])
    return np.where(inside, classes, int(FaceClass.BACKGROUND)).astype(np.uint8)
