import h5py
import numpy as np
import pytest
import scipy.io
from check_dataset import check_dataset

from kgen.config import DataConfig
from kgen.data import load
from kgen.errors import UserError

# Six images of 4 rows and 5 columns: pixel (row r, column c) of image n is 40 n + 5 r + c.
GRAY = (40 * np.arange(6)[:, None, None] + 5 * np.arange(4)[:, None] + np.arange(5)).astype(np.uint8)[..., None]
SQUARE = (40 * np.arange(6)[:, None, None] + 6 * np.arange(5)[:, None] + np.arange(5)).astype(np.uint8)[..., None]


def read(path, content, matlab=True, **options):
    """The set that a file with this content is; with the header of MATLAB instead of that of scipy."""
    scipy.io.savemat(path, content)
    if matlab:
        with open(path, "r+b") as file:
            file.write(b"MATLAB 5.0 MAT-file, Platform: MACI64, Created on: Tue Jun  4 23:11:05 2013".ljust(116))
    return load(DataConfig(str(path), validation_fraction=0, **options))


def matlab_flat(images):
    """Rows of x(:) as MATLAB writes it: the first axis (rows) runs fastest, then columns, then channels."""
    return np.stack([image.flatten(order="F") for image in images])


def test_mat_conforms(tmp_path, noise):
    path = tmp_path / "set.mat"
    scipy.io.savemat(path, {"X": noise(40, 6, 5, 3).transpose(1, 2, 3, 0), "y": np.arange(40)[:, None] % 10 + 1})
    dataset = load(DataConfig(str(path)))
    check_dataset(dataset, forget=path.unlink)
    assert dataset.spec.image_shape == (6, 5, 3)
    assert dataset.spec.class_names == tuple(map(str, range(1, 11)))  # SVHN's 10 for 0 stays a name of its own


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (GRAY[..., 0], {}),
        (GRAY, {}),
        (GRAY[..., 0].transpose(1, 2, 0), {}),
        (np.repeat(GRAY, 3, 3), {}),
        (np.repeat(GRAY, 3, 3).transpose(1, 2, 3, 0), {}),
        (matlab_flat(GRAY).T, {"mat_image_shape": (4, 5)}),
        (matlab_flat(GRAY), {"mat_image_shape": (4, 5)}),
        (matlab_flat(GRAY), {"mat_image_shape": (4, 5, 1), "mat_orientation": "rows"}),
        (matlab_flat(np.repeat(GRAY, 3, 3)), {"mat_image_shape": (4, 5, 3)}),
    ],
    ids=["NHW", "NHW1", "HWN", "NHWC", "HWCN", "columns", "rows", "rows given", "rows of colour"],
)
def test_layouts(tmp_path, array, options):
    got = read(tmp_path / "a.mat", {"faces": array}, **options).arrays("train")[0]
    # [H, W, N] with 4 x 5 x 6: the last side is the largest, so it is the number of images
    np.testing.assert_array_equal(got, GRAY if got.shape[-1] == 1 else np.repeat(GRAY, 3, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("turn", [False, True])
def test_a_flattened_square_is_found(tmp_path, channels, turn):
    expected = np.repeat(SQUARE, channels, 3)
    if channels == 3:
        expected = expected * np.array([1, 1, 0], np.uint8)  # so that a mix-up of the channels shows
    flat = matlab_flat(expected)
    got = read(tmp_path / "a.mat", {"x": flat.T if turn else flat}).arrays("train")[0]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["y", "labels", "label", "gnd"])
def test_labels(tmp_path, name):
    dataset = read(tmp_path / "a.mat", {"fea": SQUARE[..., 0], name: np.array([[3, 1, 2, 1, 3, 2]])})
    assert dataset.spec.class_names == ("1", "2", "3")
    assert dataset.arrays("train")[1].tolist() == [2, 0, 1, 0, 2, 1]


def test_the_largest_array_is_taken_unless_a_key_is_given(tmp_path):
    content = {"mean": np.ones((5, 5)), "images": SQUARE[..., 0], "small": SQUARE[:2, :3, :3, 0]}
    assert read(tmp_path / "a.mat", content).spec.image_shape == (5, 5, 1)
    assert read(tmp_path / "b.mat", content, mat_key="small").spec.image_shape == (3, 3, 1)


def test_version_7_3(tmp_path):
    # MATLAB puts a text header before the HDF5 file (a user block of 512 bytes); its [H, W, N] lies as [N, W, H] there.
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["faces"] = GRAY[..., 0].transpose(0, 2, 1)
        file["labels"] = np.array([[5.0, 4, 3, 2, 1, 0]])
    with open(tmp_path / "a.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    dataset = load(DataConfig(str(tmp_path / "a.mat"), validation_fraction=0))
    np.testing.assert_array_equal(dataset.arrays("train")[0], GRAY)
    assert dataset.arrays("train")[1].tolist() == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ({"a": SQUARE}, {"mat_key": "faces"}, ["mat_key", "'faces'", "a (6, 5, 5, 1)"]),
        ({"a": np.ones((7, 11))}, {}, ["(7, 11)", "mat_image_shape", "three squares"]),
        ({"a": np.ones((7, 11))}, {"mat_image_shape": (3, 3)}, ["(3, 3)", "mat_image_shape"]),
        ({"a": np.ones((7, 11))}, {"mat_image_shape": (3,)}, ["(height, width)", "(3,)"]),
        ({"a": np.full((4, 5, 6), -2.5)}, {}, ["values from -2.5 to -2.5"]),
        ({"a": np.full((4, 5, 6), 1000.5)}, {}, ["1000.5"]),
        ({"a": np.ones((4, 5, 6, 7))}, {}, ["[H, W, C, N]", "(4, 5, 6, 7)"]),
        ({"note": "only words"}, {}, ["no numeric variable"]),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, options, words):
    with pytest.raises(UserError) as error:
        read(tmp_path / "bad.mat", content, **options)
    assert all(word in str(error.value) for word in [*words, "bad.mat"]), str(error.value)


def test_no_mat_file(tmp_path):
    (tmp_path / "bad.mat").write_text("no MATLAB here, but long enough for a header" * 10)
    with pytest.raises(UserError, match=r"cannot be read as a \.mat file"):
        load(DataConfig(str(tmp_path / "bad.mat")))
