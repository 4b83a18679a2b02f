import flame_files
import gnm_like
import pytest

from vhap.head import load
from vhap.head.gnm import find_packaged
from vhap.head.load import choose_head, drop_lip_inside, load_head
from vhap.head.regions import faces_of_region
from vhap.util.errors import InputError


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.delenv("VHAP_FLAME_MODEL", raising=False)
    for variable in ("VHAP_ICT_FACEKIT", "VHAP_GNM_HEAD", "VHAP_GNM_LANDMARKS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GNM_CACHE_DIR", str(tmp_path / "package"))
    monkeypatch.setattr(load, "asset_folders", lambda: [tmp_path / "first", tmp_path / "asset"])


def test_auto_without_files_is_the_built_in_head():
    head = load_head("auto")
    assert head.name == "builtin"
    assert "skin" in head.regions


def test_auto_prefers_flame_in_the_asset_folder(tmp_path, monkeypatch):
    flame_files.write_flame(tmp_path / "asset" / "flame", monkeypatch)
    head = load_head("auto", n_shape=20, n_expr=7)
    assert (head.name, head.n_shape, head.n_expr) == ("flame2023", 20, 7)
    assert "teeth" in head.regions
    assert "teeth" not in load_head("flame", add_teeth=False).regions


def test_option_comes_before_environment_before_folder(tmp_path, monkeypatch):
    flame_files.write_flame(tmp_path / "asset" / "flame", monkeypatch)
    second = flame_files.write_flame(tmp_path / "second", monkeypatch, "generic_model.pkl")
    third = flame_files.write_flame(
        tmp_path / "third", monkeypatch, "flame2023_Open.pkl", supr_expression_metadata={"n": 1}
    )
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(second))
    assert load_head("flame").name == "flame2020"
    assert load_head("flame", flame_model_path=third).name == "flame2023_open"


def test_the_first_folder_with_a_model_counts_whatever_its_name(tmp_path, monkeypatch):
    flame_files.write_flame(tmp_path / "asset" / "flame", monkeypatch)
    assert load_head("flame").name == "flame2023"
    flame_files.write_flame(tmp_path / "first" / "flame", monkeypatch, "generic_model.pkl")
    assert load_head("flame").name == "flame2020"


def test_auto_takes_flame_then_gnm_from_option_environment_folder_and_package(tmp_path, monkeypatch, caplog):
    like = gnm_like.make_gnm()
    packaged = [gnm_like.write_gnm(tmp_path / "package" / version, like) for version in ("v3_9", "v3_10")]
    assert load.find_gnm() == packaged[1]
    with caplog.at_level("INFO"):
        assert load_head("auto", n_shape=5).name == "gnm"
    assert f"head: gnm ({packaged[1]})" in caplog.text
    in_folder = gnm_like.write_gnm(tmp_path / "asset" / "gnm", like)
    assert load.find_gnm() == in_folder
    monkeypatch.setenv("VHAP_GNM_HEAD", str(packaged[0]))
    assert (load.find_gnm(), load.find_gnm(packaged[1])) == (packaged[0], packaged[1])
    assert choose_head("auto", None, in_folder, tmp_path) == "gnm"
    assert choose_head("auto", tmp_path, in_folder, tmp_path) == "flame"


def test_the_package_s_cache_is_found_where_the_package_puts_it(tmp_path, monkeypatch):
    monkeypatch.delenv("GNM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_packaged() is None
    file = tmp_path / "gnm" / "models" / "v3_0" / "gnm_head.npz"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_packaged() == file


def test_unknown_head_lists_the_known_ones():
    with pytest.raises(InputError, match=r"auto, flame, gnm, ict, builtin.*'smpl'"):
        load_head("smpl")


@pytest.mark.parametrize(
    ("head", "parts"),
    [
        ("flame", ("flame2023.pkl", "flame.is.tue.mpg.de", "asset/flame", "first/flame", "VHAP_FLAME_MODEL")),
        ("gnm", ("gnm_head.npz", "huggingface.co", "asset/gnm", "first/gnm", "VHAP_GNM_HEAD", "--model.gnm_path")),
        ("ict", ("FaceXModel", "github.com", "asset/ict", "first/ict", "VHAP_ICT_FACEKIT")),
    ],
)
def test_missing_files_say_which_whence_and_where(head, parts):
    with pytest.raises(InputError) as error:
        load_head(head)
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_named_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.pkl"):
        load_head("auto", flame_model_path=tmp_path / "nowhere.pkl")
    with pytest.raises(InputError, match=r"nowhere"):
        load_head("ict", ict_facekit_path=tmp_path / "nowhere")


def test_the_inside_of_the_lips_can_be_dropped():
    whole = load_head("builtin")
    head = drop_lip_inside(whole)
    assert len(head.faces) < len(whole.faces)
    assert head.n_vertices == whole.n_vertices
    left = faces_of_region(head, "lip_inside")
    marked = head.landmarks["ibug"].face_ids
    assert set(left.nonzero()[:, 0].tolist()) <= set(marked.tolist())
    before, after = whole.landmarks["ibug"], head.landmarks["ibug"]
    assert (whole.faces[before.face_ids] == head.faces[after.face_ids]).all()
