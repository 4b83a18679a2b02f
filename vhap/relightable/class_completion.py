"""From what is known of a face to all of a person: hair, neck and clothes by place and colour.

Every pixel of the matte has, by its place relative to the face, probabilities of being skin, hair or cloth. Colours
then decide, as in GrabCut (Rother et al. 2004), but between three classes, with histograms for colours, and a
watershed in place of the graph cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from vhap.relightable.class_maps import FaceClass
from vhap.util.optional import import_or_explain

SKIN, HAIR, CLOTH = range(3)
N_COARSE = 3
MATTE = 128
"""Alpha from which on a pixel is the person's."""

# Lengths and heights are in distances from the eyes to the chin; heights are above the chin.
HAIR_TO_CLOTH, ITS_WIDTH = -0.12, 0.12
"""Height at which, beside the head, hair and clothes are as likely, and over which one gives way to the other."""
NO_CLOTH, NO_HAIR = 0.1, -1.2
"""Heights above which clothes, and below which hair, are unlikely."""
BARE_SHARE = 0.25
"""Of skin off the known head: ears, shoulders, arms."""
COLLAR_SHARE, COLLAR_DEPTH = 0.6, 0.7
"""Of clothes over the known neck: that of its lower end, and where that is below the chin."""
UNSURE = 0.06
"""Standard deviation of what is known of the outline of head and hair."""
LEAST_SHARES = np.array([0.05, 0.05, 0.02], np.float32)
"""Of skin, hair and clothes anywhere: strands over a face, a hairline other than the head's."""
INNER_FACE = 0.3
"""Distance from the face's border from which on nothing is hair, whatever its colour: brows, beards."""

BINS = (16, 20, 20)
"""Of lightness and the two chromaticities of CIE L*a*b*."""
CHROMA_RANGE = (78, 178)
"""Of 8-bit a and b: what skin, hair and nearly all cloths have; what lies outside counts as the border."""
BLUR_BINS = 0.8
UNIFORM_SHARE = 0.02
"""Of colours that a class has shown nowhere yet."""
COMMON = 4.0
"""Density at which a colour counts as skin's or hair's own, in those of all colours of a person alike."""
MOST_EVIDENCE = 5.0
"""Of colour, in log odds between two classes."""
ROUNDS = 6
"""In which classes are told apart by colours, and colours learnt from the classes."""
HAIR_EXAMPLES, CLOTH_EXAMPLES = 0.4, 0.4
"""Heights above which hair, and below which clothes, show their colours: hanging hair has those of the hair above."""

GAP = 0.04
"""Between parts that still hang together."""
SURE = 0.9
"""Probability from which on a pixel is a seed of its class."""
SLIVER = 0.015
"""Standard deviation of the filter that takes slivers away, such as a rim of hair where an ear meets the background."""


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


def complete_classes(
    picture: np.ndarray, alpha: np.ndarray, known: np.ndarray, place: FacePlace, shares: np.ndarray | None = None
) -> np.ndarray:
    """(H, W) uint8 classes of the whole person.

    picture (H, W, 3) uint8 RGB; alpha (H, W) uint8; known (H, W): classes of what is seen of the head, as far as the
    head's surface or its landmarks tell, BACKGROUND elsewhere. Parts of the face stay as they are known; hair, clothes
    and the outline of skin and neck follow the colours. shares (H, W, 3): probabilities of skin, hair and clothes where
    a network gives them; place and colour are then not asked.
    """
    inside = alpha >= MATTE
    if not inside.any():
        return np.zeros(inside.shape, np.uint8)
    if shares is not None:
        coarse = along_edges(picture, shares, inside)
        return assemble(without_slivers(coarse, inside, place.size), known, inside)
    prior = place_shares(known, place)
    likely = colour_shares(picture, prior, colour_examples(prior, known, place), inside)
    coarse = without_slivers(along_edges(picture, likely, inside), inside, place.size)
    coarse = hanging_together(coarse, likely, known, inside, place)
    return assemble(coarse, known, inside)


def place_shares(known: np.ndarray, place: FacePlace) -> np.ndarray:
    """(H, W, 3) probabilities of skin, hair and clothes by place alone, of pixels of the person."""
    along, above = place.heights(_size(known))
    # A head that is tilted tilts its hair; clothes hang straight.
    height = (along + above) / 2
    off = known == FaceClass.BACKGROUND
    hair = known == FaceClass.HAIR
    skin = ~off & ~hair
    collar = COLLAR_SHARE * np.clip((-height - 0.1) / (COLLAR_DEPTH - 0.1), 0, 1) * (known == FaceClass.NECK)
    hanging = _step(height - HAIR_TO_CLOTH, ITS_WIDTH)
    dressed = off * (1 - BARE_SHARE)
    shares = np.stack(
        [skin * (1 - collar) + off * BARE_SHARE, hair + dressed * hanging, collar + dressed * (1 - hanging)], -1
    )
    shares = _blurred(shares.astype(np.float32), UNSURE * place.size) + LEAST_SHARES
    shares[_inner_face(known, place)] = (1, 1e-4, 1e-4)
    shares[..., CLOTH] *= _step(NO_CLOTH - height, 0.08)
    shares[..., HAIR] *= 0.2 + 0.8 * _step(height - NO_HAIR, 0.2)
    return shares / shares.sum(-1, keepdims=True)


def _step(values: np.ndarray, width: float) -> np.ndarray:
    """From 0 to 1 where the values rise through 0."""
    return 1 / (1 + np.exp(-np.clip(values / width, -30, 30)))


def _inner_face(known: np.ndarray, place: FacePlace) -> np.ndarray:
    """(H, W) bool."""
    cv2 = import_or_explain("cv2")
    around = (FaceClass.BACKGROUND, FaceClass.HAIR, FaceClass.LEFT_EAR, FaceClass.RIGHT_EAR, FaceClass.NECK)
    face = (~np.isin(known, around)).astype(np.uint8)
    return cv2.distanceTransform(face, cv2.DIST_L2, 5) > INNER_FACE * place.size


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    cv2 = import_or_explain("cv2")
    return cv2.GaussianBlur(values, (0, 0), max(sigma, 0.5))


def colour_examples(prior: np.ndarray, known: np.ndarray, place: FacePlace) -> np.ndarray:
    """(H, W, 3) bool: where skin, hair and clothes show their colours."""
    along, _ = place.heights(_size(known))
    skin = np.isin(known, (FaceClass.SKIN, FaceClass.NOSE, FaceClass.NECK))
    return np.stack([skin, (along > HAIR_EXAMPLES) & (prior[..., HAIR] > 0.3), along < CLOTH_EXAMPLES], -1)


def colour_shares(picture: np.ndarray, prior: np.ndarray, examples: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(H, W, 3) probabilities after the colours, which are learnt from the examples of this picture; the prior outside.

    picture (H, W, 3) uint8; prior (H, W, 3); examples (H, W, 3) and inside (H, W) bool.
    """
    # Classes one after the other: sums over a last axis of three take longer than all else.
    bins, shares, useful = _bins(picture[None, inside])[0], _by_class(prior[inside]), _by_class(examples[inside])
    common = COMMON / len(np.unique(bins))
    likely = shares
    for number in range(ROUNDS):
        weights = likely * useful
        # At first only what is sure by its place counts.
        weights = weights**2 if number == 0 else weights
        densities = np.stack([_density(bins, weight) for weight in weights])
        # Colours that skin and hair explain say little about clothes: hair over shoulders, and shoulders, are none.
        novelty = common / (common + densities[HAIR] + densities[SKIN])
        densities[CLOTH] = _density(bins, weights[CLOTH] * novelty[bins])
        evidence = np.log(densities)
        evidence = np.maximum(evidence - evidence.max(0), -MOST_EVIDENCE)
        likely = shares * np.exp(evidence).take(bins, 1)
        likely /= likely.sum(0)
    found = prior.copy()
    found[inside] = likely.T
    return found


def _by_class(values: np.ndarray) -> np.ndarray:
    """(N, classes) -> (classes, N), each class's values beside each other."""
    return np.ascontiguousarray(values.T)


def _bins(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) index of the colour's bin."""
    cv2 = import_or_explain("cv2")
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    low, high = CHROMA_RANGE
    lightness = np.minimum(lab[..., 0] / 256 * BINS[0], BINS[0] - 1).astype(int)
    chroma = np.clip((lab[..., 1:] - low) / (high - low), 0, 0.999)
    a, b = (chroma[..., k] * BINS[k + 1] for k in range(2))
    return (lightness * BINS[1] + a.astype(int)) * BINS[2] + b.astype(int)


def _density(bins: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(bins,) probability of a colour in a class."""
    count = int(np.prod(BINS))
    counts = np.bincount(bins, weight, count).reshape(BINS)
    smooth = gaussian_filter(counts, BLUR_BINS).ravel()
    total = smooth.sum()
    share = smooth / total if total > 0 else np.full(count, 1 / count)
    return (1 - UNIFORM_SHARE) * share + UNIFORM_SHARE / count


def along_edges(picture: np.ndarray, likely: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(H, W) coarse classes: those that are sure grow along what is smooth in the picture (H, W, 3) uint8 until they
    meet, by OpenCV's watershed; where they meet, and outside, the likeliest. likely (H, W, 3); inside (H, W) bool."""
    cv2 = import_or_explain("cv2")
    likeliest = likely.argmax(-1)
    seeds = np.where(likely.max(-1) > SURE, 1 + likeliest, 0)
    grown = cv2.watershed(picture, np.where(inside, seeds, 1 + N_COARSE).astype(np.int32))
    return np.where((grown >= 1) & (grown <= N_COARSE), grown - 1, likeliest)


def without_slivers(coarse: np.ndarray, inside: np.ndarray, unit: float) -> np.ndarray:
    """(H, W) coarse classes, of which those inside vote around each pixel."""
    votes = np.eye(N_COARSE, dtype=np.float32)[coarse] * inside[..., None]
    return _blurred(votes, SLIVER * unit).argmax(-1)


def hanging_together(
    coarse: np.ndarray, likely: np.ndarray, known: np.ndarray, inside: np.ndarray, place: FacePlace
) -> np.ndarray:
    """(H, W) coarse classes: hair that does not hang together with the hair above, and skin that does not with the
    head's, become what else is likely there. Shadows of a collar are no hair, and hands before a chest count as
    clothes: the data set has no class for them."""
    along, _ = place.heights(_size(known))
    is_head = (known != FaceClass.BACKGROUND) & (known != FaceClass.HAIR)
    kept = coarse
    for number, anchor in ((HAIR, along > HAIR_EXAMPLES), (SKIN, is_head)):
        part = inside & (coarse == number)
        loose = part & ~_touching(part, part & anchor, round(GAP * place.size))
        others = likely.copy()
        others[..., number] = -1
        kept = np.where(loose, others.argmax(-1), kept)
    return kept


def _touching(part: np.ndarray, anchor: np.ndarray, gap: int) -> np.ndarray:
    """(H, W) bool: what of the part hangs together with the anchor, across gaps of so many px."""
    cv2 = import_or_explain("cv2")
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap + 1, gap + 1))
    _, found = cv2.connectedComponents(cv2.dilate(part.astype(np.uint8), kernel), connectivity=8)
    labels = np.asarray(found, np.int32)
    held = np.zeros(int(labels.max()) + 1, bool)
    held[labels[anchor]] = True
    return part & held[labels]


def assemble(coarse: np.ndarray, known: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(H, W) uint8: hair and clothes as they were found; skin as it is known, and elsewhere as the nearest skin that is
    known: face, neck or ear; nothing outside of the matte."""
    is_known = (known != FaceClass.BACKGROUND) & (known != FaceClass.HAIR)
    skin = np.where(is_known, known, _nearest_skin(known))
    classes = np.where(coarse == HAIR, int(FaceClass.HAIR), np.where(coarse == CLOTH, int(FaceClass.CLOTH), skin))
    return np.where(inside, classes, int(FaceClass.BACKGROUND)).astype(np.uint8)


def _nearest_skin(known: np.ndarray) -> np.ndarray:
    """(H, W) class of the nearest pixel that is face, neck or ear; skin where there is none."""
    cv2 = import_or_explain("cv2")
    bare = np.isin(known, (FaceClass.SKIN, FaceClass.NECK, FaceClass.LEFT_EAR, FaceClass.RIGHT_EAR))
    if not bare.any():
        return np.full(known.shape, int(FaceClass.SKIN))
    _, labels = cv2.distanceTransformWithLabels(
        (~bare).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(int(labels.max()) + 1, int)
    of_label[labels[bare]] = known[bare]
    return of_label[labels]


def _size(array: np.ndarray) -> tuple[int, int]:
    return array.shape[0], array.shape[1]
