"""Class maps of a subject's pictures whose clothes are told by the colours of the whole clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.data.pictures import read_alpha, read_rgb
from vhap.detect.clothes import ClothesModel, learn_clothes
from vhap.pipeline.relightable_parsing import ParsedPicture, Parser
from vhap.relightable.class_maps import FaceClass
from vhap.util.choice import even_choice
from vhap.util.optional import import_or_explain

LEARNT_FROM = 24
"""Pictures out of which the colours of clothes are learnt."""


@dataclass(frozen=True)
class ParsedClothes:
    """A ClothesModel. learned: says where clothes are, which a parser without weights cannot tell from loose hair and
    hands; None: the parser says it."""

    parser: Parser
    learned: ClothesModel | None

    def classes(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        """As `ClothesModel.classes`, all 19 of them; without a face clothes and the rest of the person alone."""
        return self.classes_of(ParsedPicture("", picture, alpha, face))

    def classes_of(self, parsed: ParsedPicture) -> np.ndarray:
        """As `classes`, of a picture with its matte."""
        assert parsed.alpha is not None
        found = self.parser.classes(parsed)
        if self.learned is None:
            return np.zeros(parsed.alpha.shape, np.uint8) if found is None else found.astype(np.uint8)
        coarse = self.learned.classes(parsed.picture, parsed.alpha, parsed.points)
        return coarse if found is None else with_clothes(found.astype(np.uint8), coarse == FaceClass.CLOTH)

    def keep(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        """As `ClothesModel.keep`."""
        if self.learned is not None:
            return self.learned.keep(picture, alpha, face)
        return (self.classes(picture, alpha, face) != FaceClass.CLOTH).astype(np.float32)


def learn_from_some(
    pictures: Mapping[str, Path],
    alphas: Mapping[str, Path],
    face: Callable[[str, np.ndarray, np.ndarray], np.ndarray | None],
) -> ClothesModel:
    """The colours of clothes out of some of a clip's pictures. face: name, picture, alpha -> 478 points px or None."""

    def samples() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        names = list(pictures)
        for row in even_choice(len(names), LEARNT_FROM):
            picture, alpha = read_rgb(pictures[names[row]]), read_alpha(alphas[names[row]])
            yield picture, alpha, face(names[row], picture, alpha)

    return learn_clothes(samples())


def with_clothes(classes: np.ndarray, cloth: np.ndarray) -> np.ndarray:
    """Class numbers (H, W) with clothes where cloth (H, W) says so and nowhere else: what was taken for clothes becomes
    what is nearest of the person."""
    cv2 = import_or_explain("cv2")
    cloth = cloth & (classes != FaceClass.BACKGROUND)
    known = (classes != FaceClass.BACKGROUND) & (classes != FaceClass.CLOTH)
    mistaken = (classes == FaceClass.CLOTH) & ~cloth
    result = classes.copy()
    if known.any() and mistaken.any():
        _, labels = cv2.distanceTransformWithLabels(
            (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        of_label = np.zeros(labels.max() + 1, np.uint8)
        of_label[labels[known]] = classes[known]
        result[mistaken] = of_label[labels[mistaken]]
    result[cloth] = FaceClass.CLOTH
    return result
