"""Class maps whose clothes another model tells."""

import numpy as np

from vhap.pipeline.parsed_clothes import ParsedClothes, with_clothes
from vhap.relightable.class_maps import FaceClass

HAIR, SKIN, CLOTH = (int(kind) for kind in (FaceClass.HAIR, FaceClass.SKIN, FaceClass.CLOTH))
PARSED = np.array([[HAIR, SKIN, SKIN, 0], [CLOTH, SKIN, CLOTH, 0], [CLOTH, CLOTH, CLOTH, 0]], np.uint8)
ALPHA = np.where(PARSED > 0, 255, 0).astype(np.uint8)
CLOTHES = np.array([[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]], bool)


class Parser:
    identity = "parser"

    def __init__(self, found):
        self.found = found

    def classes(self, parsed):
        assert parsed.picture.shape == (3, 4, 3)
        return self.found


class Learned:
    def classes(self, picture, alpha, face):
        return np.where(alpha == 0, 0, np.where(CLOTHES, CLOTH, SKIN)).astype(np.uint8)

    def keep(self, picture, alpha, face):
        return np.where(CLOTHES, 0.25, 1).astype(np.float32)


def test_what_was_taken_for_clothes_is_what_is_nearest():
    found = with_clothes(PARSED, CLOTHES)
    assert found.tolist() == [[HAIR, SKIN, SKIN, 0], [HAIR, SKIN, CLOTH, 0], [SKIN, CLOTH, CLOTH, 0]]


def test_learned_colours_say_where_clothes_are_unless_the_parser_does():
    picture = np.zeros((3, 4, 3), np.uint8)
    both = ParsedClothes(Parser(PARSED), Learned())
    assert both.classes(picture, ALPHA, None).tolist() == with_clothes(PARSED, CLOTHES).tolist()
    assert both.keep(picture, ALPHA, None).min() == 0.25
    alone = ParsedClothes(Parser(PARSED), None)
    assert np.array_equal(alone.classes(picture, ALPHA, None), PARSED)
    assert np.array_equal(alone.keep(picture, ALPHA, None) == 0, PARSED == CLOTH)


def test_without_a_face_the_person_has_coarse_classes():
    picture = np.zeros((3, 4, 3), np.uint8)
    found = ParsedClothes(Parser(None), Learned()).classes(picture, ALPHA, None)
    assert np.array_equal(found, Learned().classes(picture, ALPHA, None))
    assert not ParsedClothes(Parser(None), None).classes(picture, ALPHA, None).any()
