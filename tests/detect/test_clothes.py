"""Clothes by colour and position, on drawn persons whose classes are known."""

import cv2
import numpy as np
import pytest

from vhap.detect.clothes import CLOTH, OVAL, learn_clothes

SIDE = 256
SKIN, HAIR, WALL = (205, 150, 125), (50, 35, 25), (120, 130, 140)


def person(shirt, long_hair=False, seed=0, move=0):
    """Picture, alpha, face points and which pixels are clothes."""
    rng = np.random.default_rng(seed)
    picture, alpha = np.full((SIDE, SIDE, 3), WALL, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    cloth = np.zeros((SIDE, SIDE), np.uint8)
    x, y = 128 + move, 100
    for layer, colour in ((alpha, (255,)), (picture, shirt), (cloth, (255,))):
        cv2.ellipse(layer, (x, 270), (110, 82), 0, 0, 360, colour, -1)
    for layer, value in ((alpha, (255,)), (picture, HAIR), (cloth, (0,))):
        cv2.ellipse(layer, (x, y - 10), (52, 66), 0, 180, 360, value, -1)
        if long_hair:
            for side in (-1, 1):
                cv2.rectangle(layer, (x + side * 52, y - 10), (x + side * 32, 220), value, -1)
    for layer, value in ((alpha, (255,)), (picture, SKIN), (cloth, (0,))):
        cv2.rectangle(layer, (x - 20, y + 40), (x + 20, 205), value, -1)
        cv2.ellipse(layer, (x, y), (38, 55), 0, 0, 360, value, -1)
    noisy = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
    face = np.tile(np.array([x, y], float), (478, 1))
    turn = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    face[OVAL] = np.column_stack([x + 38 * np.sin(turn), y - 55 * np.cos(turn)])
    return noisy, alpha, face, cloth > 0


@pytest.mark.parametrize("shirt", [(60, 80, 170), (235, 235, 230), (150, 20, 30), (70, 110, 60)])
@pytest.mark.parametrize("long_hair", [False, True])
def test_shirt_goes_and_the_person_stays(shirt, long_hair):
    films = [person(shirt, long_hair, seed, move) for seed, move in enumerate((-8, 0, 8))]
    model = learn_clothes([film[:3] for film in films])
    for picture, alpha, face, cloth in films:
        keep = model.keep(picture, alpha, face)
        solid = alpha > 0
        assert keep[solid & cloth].mean() < 0.04
        assert keep[solid & ~cloth].mean() > 0.96
        classes = model.classes(picture, alpha, face)
        assert ((classes == CLOTH) == (cloth & solid)).mean() > 0.97
        assert (classes[~solid] == 0).all()


@pytest.mark.parametrize("seam", [False, True])
def test_short_black_hair_does_not_keep_a_black_shirt(seam):
    picture, alpha, face, cloth = person(HAIR)
    if seam:
        for layer, value in ((picture, HAIR), (alpha, (255,))):
            cv2.line(layer, (92, 85), (92, 215), value, 2)
    keep = learn_clothes([(picture, alpha, face)]).keep(picture, alpha, face)
    assert keep[cloth].mean() < 0.1
    assert keep[(alpha > 0) & ~cloth].mean() > 0.95


def test_nothing_goes_without_clothes_or_a_face():
    picture, alpha, face, cloth = person(SKIN)
    bare = (alpha > 0) & ~cloth
    alpha = np.where(bare, 255, 0).astype(np.uint8)
    assert learn_clothes([(picture, alpha, face)]).keep(picture, alpha, face)[bare].min() == 1
    model = learn_clothes([person((60, 80, 170))[:3]])
    assert model.keep(picture, alpha, None).min() == 1
    assert learn_clothes([(picture, alpha, None)]).keep(picture, alpha, face).min() == 1
