"""A run's options of its head."""

from vhap.config.track import ModelConfig
from vhap.head.regions import faces_of_region
from vhap.pipeline.heads import configured_head


def test_the_inside_of_the_mouth_is_left_out_where_it_is_asked_for():
    whole, open_mouth = (configured_head(ModelConfig("builtin", remove_lip_inside=asked)) for asked in (False, True))
    assert int(faces_of_region(open_mouth, "lip_inside").sum()) < 0.1 * int(faces_of_region(whole, "lip_inside").sum())
    assert open_mouth.n_vertices == whole.n_vertices
