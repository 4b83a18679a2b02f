"""Mattes through time: a moving disc before a textured wall, seen by networks that flicker and see islands."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vhap.data.pictures import list_pictures, read_alpha, write_picture
from vhap.data.provenance import Provenance
from vhap.detect.clip import Clip
from vhap.detect.matting import matte_pictures, matting_options
from vhap.detect.through_time import SAME_COLOR, flow_between, fused, view_of
from vhap.detect.tracked_faces import TrackedFaces
from vhap.detect.video_matting import OpenClip, matted

SIZE, COUNT, BAND_PX = (150, 190), 8, 5
ISLAND = (slice(20, 50), slice(8, 36))


def centre(index):
    return 80 + index, 85 + 2 * index


def true_alpha(index):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    row, column = centre(index)
    return np.clip((38 - np.hypot(rows - row, columns - column)) / 4 + 0.5, 0, 1)


def filmed(index):
    """A disc with stripes that move along before a wall of blotches, as (H, W, 3) uint8."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    wall = cv2.GaussianBlur(np.random.default_rng(5).normal(0, 1, (*SIZE, 3)).astype(np.float32), (0, 0), 4)
    wall = (0.55, 0.65, 0.7) + 0.08 * wall / wall.std()
    row, column = centre(index)
    stripes = 0.05 * np.sin((rows - row) / 5)[..., None] * np.cos((columns - column) / 6)[..., None]
    share = true_alpha(index)[..., None]
    picture = share * (np.array([0.45, 0.25, 0.15]) + stripes) + (1 - share) * wall
    return (255 * picture.clip(0, 1) + 0.5).astype(np.uint8)


class Network:
    """Sees the disc by its colour, too large or too small at random by the picture, and now and then an island."""

    def __init__(self, salt=0):
        self.salt = salt
        self.asked = 0

    def probability(self, picture):
        self.asked += 1
        random = np.random.default_rng([self.salt, int(picture.astype(np.int64).sum())])
        disc = (picture[..., 0].astype(int) > picture[..., 2].astype(int)).astype(np.uint8)
        disc = cv2.morphologyEx(disc, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        grown = cv2.dilate if random.random() < 0.5 else cv2.erode
        mask = grown(disc, np.ones((5, 5), np.uint8)).astype(np.float32)
        if random.random() < 0.4:
            mask[ISLAND] = 1
        return cv2.GaussianBlur(mask, (0, 0), 1.5)


class Matting:
    is_recurrent = False
    reach = 4

    def __init__(self):
        self.networks = (Network(), Network())

    def open(self, clip):
        return OpenClip(clip, self.networks)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A sequence folder with the film, and the face's points in every picture."""
    folder = tmp_path_factory.mktemp("film")
    for index in range(COUNT):
        write_picture(folder / "images" / f"{index:06d}.png", filmed(index))
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    spots = np.array([(centre(index)[::-1] + 20 * ring) / SIZE[::-1] for index in range(COUNT)])
    return folder, np.concatenate([spots, np.ones((COUNT, 20, 1))], 2)


def measured(alphas):
    """Mean error in the band about the truth's outline, and of the change from picture to picture."""
    found = np.stack(alphas).astype(np.float32) / 255
    true = np.stack([true_alpha(index) for index in range(COUNT)])
    banded = []
    for alpha, truth in zip(found, true):
        inside = (truth > 0.5).astype(np.uint8)
        away = np.maximum(*(cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (inside, 1 - inside)))
        banded.append(np.abs(alpha - truth)[away <= BAND_PX].mean())
    return np.mean(banded), np.abs(np.diff(found, axis=0) - np.diff(true, axis=0)).mean()


def raw_maps():
    return [(255 * Network().probability(filmed(index))).round() for index in range(COUNT)]


def test_half_the_error_and_flicker_of_the_network_and_no_islands(film):
    folder, points = film
    files = list(list_pictures(folder / "images").values())
    opened = Matting().open(Clip(files, points))
    found = [opened.alpha(index) for index in range(COUNT)]
    raw = raw_maps()
    assert 0 < sum(alpha[ISLAND].mean() > 200 for alpha in raw) < COUNT, "the stand-in's island comes and goes"
    assert max(alpha[ISLAND].max() for alpha in found) <= 2
    (error, flicker), (error_before, flicker_before) = measured(found), measured(raw)
    assert error < 0.5 * error_before
    assert flicker < 0.5 * flicker_before


def test_islands_that_all_pictures_have_go_where_the_face_is_known(film):
    folder, points = film

    class Sure(Network):
        def probability(self, picture):
            mask = super().probability(picture)
            mask[ISLAND] = 1
            return mask

    files = list(list_pictures(folder / "images").values())
    for known, expected in ((points, False), (None, True)):
        alpha = OpenClip(Clip(files, known), (Sure(), Sure())).alpha(3)
        assert bool(alpha[ISLAND].any()) == expected


@pytest.mark.parametrize("rows", [range(0), range(80, 92)])
def test_a_seen_face_has_no_holes_and_an_unseen_one_is_not_made_up(film, rows):
    folder, points = film
    files = list(list_pictures(folder / "images").values())

    class Holed(Network):
        def probability(self, picture):
            mask = super().probability(picture)
            hidden = slice(rows[0], rows[-1]) if rows else slice(None)
            mask[hidden] = 0
            return mask

    opened = OpenClip(Clip(files, points), (Holed(), Holed()))
    opened._recall = lambda index: view_of(Holed().probability(filmed(index)), filmed(index))
    row, column = centre(3)
    assert opened.alpha(3)[row, column] == (255 if rows else 0)
    assert opened.alpha(3).any() == bool(rows)


def test_one_network_alone_is_heard_near_the_face_only(film):
    folder, points = film
    files = list(list_pictures(folder / "images").values())
    row, column = centre(3)
    beside, away = (row, column + 24), (row, column + 33)

    class Cautious(Network):
        """Sees a smaller disc."""

        def probability(self, picture):
            mask = super().probability(picture)
            return cv2.erode(mask, np.ones((31, 31), np.uint8))

    opened = OpenClip(Clip(files, points), (Network(), Cautious()))
    probability = 1 / (1 + np.exp(-opened._look(3).layers[..., 3]))
    assert 0.2 < probability[beside] < 0.8
    assert probability[away] < 0.05


def test_each_picture_is_asked_for_once_and_in_any_order(film):
    folder, points = film
    files = list(list_pictures(folder / "images").values())
    matting = Matting()
    opened = matting.open(Clip(files, points))
    forward = [opened.alpha(index) for index in range(COUNT)]
    whole_and_head = 2
    assert [network.asked for network in matting.networks] == [whole_and_head * COUNT] * 2
    again = matting.open(Clip(files, points))
    for index in (6, 0, 3):
        np.testing.assert_array_equal(again.alpha(index), forward[index])


def test_killed_passes_are_completed_and_second_ones_change_nothing(film, tmp_path):
    folder, points = film
    pictures = list_pictures(folder / "images")
    faces = TrackedFaces(pictures, None, tmp_path)
    faces.__dict__["points"] = points
    maps = tmp_path / "alpha_maps"
    options = {"method": "mediapipe_video", "version": "1"}

    def run(**changes):
        return matte_pictures(pictures, maps, Matting(), tmp_path, {**options, **changes}, faces=faces)

    assert run() == COUNT
    whole = {path.name: path.read_bytes() for path in maps.iterdir()}
    assert run() == 0
    for index in (0, 5):
        (maps / f"{index:06d}.png").unlink()
    assert run() == 2
    assert {path.name: path.read_bytes() for path in maps.iterdir()} == whole
    assert run(version="2") == COUNT


def test_a_replaced_picture_is_matted_again_with_its_neighbours(film, tmp_path):
    for index in range(12):
        write_picture(tmp_path / "images" / f"{index:06d}.png", filmed(index % COUNT))
    pictures = list_pictures(tmp_path / "images")
    matte_pictures(pictures, tmp_path / "alpha_maps", Matting(), options={"method": "mediapipe_video"})
    write_picture(tmp_path / "images" / "000011.png", filmed(0))
    assert matte_pictures(pictures, tmp_path / "alpha_maps", Matting(), options={"method": "mediapipe_video"}) == 5


@pytest.mark.parametrize(
    ("recorded", "kept"),
    [
        ({"method": "mediapipe"}, False),
        ({"method": "mediapipe", "pictures": "single"}, True),
        ({"method": "background_difference"}, True),
        ({"method": "mediapipe_video", "version": "0"}, False),
    ],
)
def test_automatic_mattes_replace_those_of_former_defaults(film, tmp_path, recorded, kept):
    folder, _ = film
    pictures = dict(list(list_pictures(folder / "images").items())[:2])
    made = Provenance(tmp_path)
    for name, source in made.sources(pictures).items():
        digest = source.rpartition(" ")[2]
        grey = np.full(SIZE, 77, np.uint8)
        origin = SimpleNamespace(source=f"{source.rpartition(' ')[0]} {digest}", options=recorded)
        made.write(tmp_path / "alpha_maps" / f"{name}.png", origin, lambda path, grey=grey: write_picture(path, grey))
    options = matting_options("auto", None, tmp_path)
    written = matte_pictures(pictures, tmp_path / "alpha_maps", Matting(), tmp_path, options, keep_methods=True)
    assert written == (0 if kept else 2)
    assert (read_alpha(tmp_path / "alpha_maps" / "000000.png") == 77).all() == kept


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 300)])
def test_pictures_of_a_few_pixels(tmp_path, size):
    for index in range(3):
        picture = np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)
        write_picture(tmp_path / f"{index}.png", picture)
    files = list(list_pictures(tmp_path).values())

    class Sure:
        def __init__(self, value):
            self.value = value

        def probability(self, picture):
            return np.full(picture.shape[:2], self.value, np.float32)

    for value, expected in ((0, 0), (1, 255)):
        opened = OpenClip(Clip(files), (Sure(value), Sure(value)))
        assert [np.unique(opened.alpha(index)).tolist() for index in range(3)] == [[expected]] * 3
        assert opened.alpha(0).shape == size


def warped(values, flow):
    """Values at the places where a flow (h, w, 2), of any size and in px of that size, leads."""
    height, width = values.shape[:2]
    flow = cv2.resize(flow * (np.array([width, height]) / flow.shape[1::-1]).astype(np.float32), (width, height))
    places = np.clip(flow + np.mgrid[:height, :width][::-1].transpose(1, 2, 0), 0, [width - 1, height - 1])
    (x, y), (x0, y0) = places.transpose(2, 0, 1)[..., None], places.astype(int).transpose(2, 0, 1)
    x1, y1, x, y = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1), x - x0[..., None], y - y0[..., None]
    upper, lower = (values[row, x0] * (1 - x) + values[row, x1] * x for row in (y0, y1))
    return upper * (1 - y) + lower * y


def slowly_fused(view, others):
    odds, weights = view.layers[..., 3].astype(float), np.ones(view.layers.shape[:2])
    for there, flow in others:
        layers = warped(there.layers.astype(float), flow)
        apart = ((layers - view.layers)[..., :3] ** 2).sum(-1)
        trust = np.exp(cv2.blur(apart, (5, 5)) / (-2 * SAME_COLOR**2))
        odds += trust * layers[..., 3]
        weights += trust
    return 1 / (1 + np.exp(-odds / weights))


@pytest.mark.parametrize("size", [(40, 50), (64, 17), (3, 5)])
def test_neighbours_are_fused_as_by_the_definition(size):
    random = np.random.default_rng(0)
    pictures = [cv2.GaussianBlur(random.integers(0, 256, (*size, 3), np.uint8), (0, 0), 2) for _ in range(4)]
    views = [view_of(random.random(size, np.float32), picture) for picture in pictures]
    flows = [
        random.normal(0, 3, (-(-size[0] // part), -(-size[1] // part), 2)).astype(np.float32) for part in (1, 2, 3)
    ]
    others = list(zip(views[1:], flows, strict=True))
    found = fused(views[0], others)
    np.testing.assert_allclose(found, slowly_fused(views[0], others), atol=2e-5)
    assert np.abs(found - fused(views[0], [])).max() > 0.01


def test_flow_leads_to_where_things_have_gone():
    first, second = (filmed(index).astype(np.float32) / 255 for index in (0, 2))
    flow = flow_between(*(view_of(np.full(SIZE, 0.5, np.float32), filmed(index)) for index in (0, 2)))
    row, column = (place * small // full for place, small, full in zip(centre(0), flow.shape, SIZE, strict=False))
    np.testing.assert_allclose(flow[row, column] * SIZE[0] / flow.shape[0], [4, 2], atol=0.5)
    difference = np.abs(warped(second, flow) - first)[true_alpha(0) == 1].mean()
    assert difference < 0.25 * np.abs(second - first)[true_alpha(0) == 1].mean()


def test_neighbours_of_another_scene_have_no_say():
    picture, other = np.full((40, 50, 3), 51, np.uint8), np.full((40, 50, 3), 230, np.uint8)
    mine, theirs, still = np.full((40, 50), 0.9, np.float32), np.zeros((40, 50)), np.zeros((40, 50, 2), np.float32)
    np.testing.assert_allclose(fused(view_of(mine, picture), [(view_of(theirs, other), still)] * 4), 0.9, atol=1e-3)
    assert fused(view_of(mine, picture), [(view_of(theirs, picture), still)] * 4).max() < 0.1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_or_everything_is_the_person(share):
    picture = filmed(0).astype(np.float32) / 255
    np.testing.assert_array_equal(matted(picture, np.full(SIZE, share, np.float32), 4), share)


def test_the_band_is_matted_by_colours():
    picture, truth = filmed(0).astype(np.float32) / 255, true_alpha(0)
    wide = cv2.GaussianBlur(cv2.dilate(truth, np.ones((5, 5))), (0, 0), 1.5)
    assert np.abs(matted(picture, wide, 5) - truth).mean() < 0.5 * np.abs(wide - truth).mean()
