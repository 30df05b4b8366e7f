"""Pictures of runs: what is in them, that they can be repeated, and what is said where there are none."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

import kgen
from kgen import checkpoints, data, images
from kgen.cli.explore import main
from kgen.config import override
from kgen.errors import UserError
from kgen.evaluate.target import open_target
from kgen.explore import KINDS, Options, explore
from kgen.explore import interpolation as interpolation_module
from kgen.explore.context import Context
from kgen.explore.encodings import scatter_canvas
from kgen.explore.explorer import drawing_function, missing
from kgen.explore.figures import GAP, MARGIN, planes, save_gif, sheet
from kgen.explore.interpolation import soft_labels
from kgen.explore.kinds import PAGE
from kgen.explore.traversal import usage
from kgen.provenance import read_tag
from kgen.sampling import TFLiteSampler, generate, open_sampler
from kgen.spec import DataSpec
from kgen.train import train

FILES = {
    "samples.png", "style.png", "interpolation.png", "interpolation.gif", "class-to-class.png", "class-to-class.gif",
    "traversal.png", "perturbation.png", "manifold.png", "reconstructions.png", "scatter.png", "attributes.png",
    "neighbours.png", "features.png", "curves.png", "curves-layers.png", "progress.gif", "progress-interpolation.gif",
}  # fmt: skip


@pytest.fixture(scope="module")
def path(default_job):
    """A conditional VAE's run."""
    return default_job[0].path


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    """A run of a GAN without labels, hardly trained."""
    settings = {"model": "gan", "data.limit": 64, "train.batch_size": 16, "train.epochs": 2, "model_args.hidden": [8],
                "model_args.latent_dim": 5}  # fmt: skip
    return train(override(kgen.RunConfig(), settings), run_dir=str(tmp_path_factory.mktemp("gan") / "run")).path


def pictures(path, out, *what, **options):
    """File name -> caption."""
    return {
        file.name: picture.caption for file, picture in explore(path, what=what, out=out, options=Options(**options))
    }


def cell(file, row: int, column: int, left: int, top: int, side: int = 56) -> np.ndarray:
    """The pixels of one picture of a sheet, grey."""
    pixels = np.asarray(Image.open(file).convert("L"))
    top, left = top + row * (side + GAP), left + column * (side + GAP)
    return pixels[top : top + side, left : left + side]


@pytest.mark.slow
def test_every_picture_of_a_conditional_vae(path, tmp_path):
    found = pictures(path, tmp_path)
    assert {*found} == FILES
    for name, caption in found.items():
        assert path.name in caption and caption.endswith(".")
        with Image.open(tmp_path / name) as picture:
            assert getattr(picture, "n_frames", 1) > 1 if name.endswith("gif") else picture.mode == "RGB"
            assert min(picture.size) > 100 and len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_features_come_from_the_file_that_is_named(path, tmp_path):
    with pytest.raises(UserError, match=r"there are no weights at 'nowhere.h5'"):
        pictures(path, tmp_path, "neighbours", features="squeezenet", feature_weights="nowhere.h5")
    with pytest.raises(UserError, match=r"--feature_weights was given, but the extractor is 'pixels'"):
        pictures(path, tmp_path, "neighbours", feature_weights="nowhere.h5")


def test_every_kind_is_drawn_by_the_function_of_its_name():
    for name in KINDS:
        assert drawing_function(name).__name__ == name
    assert PAGE not in KINDS


def test_the_names_of_kinds_are_known_without_tensorflow():
    code = "import sys; from kgen.explore.kinds import KINDS; assert not {'tensorflow', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_seed_is_a_picture(path, tmp_path):
    wanted = ("samples", "traversal", "interpolation")
    one, again, other = (tmp_path / name for name in ("one", "again", "other"))
    names = pictures(path, one, *wanted)
    pictures(path, again, *wanted)
    pictures(path, other, *wanted, seed=1)
    for name in names:
        assert (one / name).read_bytes() == (again / name).read_bytes()
        assert (one / name).read_bytes() != (other / name).read_bytes()


def test_samples_are_those_of_kgen_sample(path, tmp_path):
    pictures(path, tmp_path, "samples", label="3", seed=7)
    drawn = generate(open_sampler(path), 80, labels=3, seed=7).pixels
    for place in (0, 1, 79):
        row, column = divmod(place, 10)
        shown = cell(tmp_path / "samples.png", row, column, MARGIN, MARGIN)
        np.testing.assert_array_equal(shown, images.to_view(drawn[place])[..., 0])


def test_reconstructions_stand_below_their_images_and_the_best_are_better_than_the_worst(path, tmp_path):
    caption = pictures(path, tmp_path, "reconstructions")["reconstructions.png"]
    typical, best, worst, every = (float(caption.split(f"{key} ")[-1].split(",")[0].split(";")[0].rstrip("."))
                                   for key in ("any", "best", "worst", "of all"))  # fmt: skip
    assert best < every < worst and best < typical < worst


def test_between_two_test_images(path, tmp_path, monkeypatch):
    """The ends of both latent paths are their reconstructions, those of the blend too."""
    drawn = []
    monkeypatch.setattr(
        interpolation_module, "sheet", lambda rows, **words: drawn.append(rows) or np.zeros((9, 9, 3), np.uint8)
    )
    pictures(path, tmp_path, "interpolation", between="3,17", label="4", steps=5)
    context = Context(path, Options())
    codes = context.encode(context.reference.real.pixels[[3, 17]], np.array([4, 4]))
    ends = context.decode(codes.mean, 4).astype(int)
    curved, straight, blend = (np.asarray(row, int) for row in drawn[0])
    for row in (curved, straight, blend):
        assert np.abs(row[[0, -1]] - ends).max() <= 1
    assert np.abs(blend[2] - ends.mean(axis=0)).max() <= 2
    assert np.abs(straight[2] - context.decode(codes.mean.mean(axis=0)[None], 4)[0]).max() <= 1
    assert len(drawn) == 1 + interpolation_module.FRAMES  # the strips, and each frame once: it is shown there and back


@pytest.mark.parametrize(
    ("between", "words"),
    [("3", "two images"), ("3,9999", "images of split 'test', from 0"), ("3,none.png", "none.png does not exist")],
)
def test_between_what_is_not_there(path, tmp_path, between, words):
    with pytest.raises(UserError, match=words):
        pictures(path, tmp_path, "interpolation", between=between)


def test_images_of_ones_own(path, tmp_path):
    real = Context(path, Options()).reference.real
    folders = tmp_path / "mine"
    for place in range(6):
        images.save_png(folders / str(real.labels[place]) / f"{place}.png", np.repeat(real.pixels[place], 2, axis=0))
    found = pictures(path, tmp_path / "out", "reconstructions", images=str(folders))
    assert "mine" in found["reconstructions-own.png"]
    one = folders / str(real.labels[0]) / "0.png"
    with pytest.raises(UserError, match="give --label"):
        pictures(path, tmp_path / "out", "reconstructions", images=str(one))
    assert pictures(path, tmp_path / "one", "reconstructions", images=str(one), label=str(real.labels[0]))


def test_vectors_in_the_place_of_labels(path):
    model = Context(path, Options()).sampler.model
    z, labels = np.random.default_rng(0).normal(size=(10, *model.latent_shape)).astype("float32"), np.arange(10)
    expected = np.asarray(model.generate(z, labels.astype("int32")))
    with soft_labels(model) as opened:
        given = np.asarray(opened.generate(z, np.eye(10, dtype="float32")))
        half = np.asarray(opened.generate(z, np.full((10, 10), 0.1, "float32")))
    np.testing.assert_allclose(given, expected, atol=1e-6)
    assert np.abs(half - expected).max() > 0.05
    np.testing.assert_array_equal(np.asarray(model.generate(z, labels.astype("int32"))), expected)


def test_attributes_of_two_classes(path, tmp_path):
    assert pictures(path, tmp_path, "attributes", classes="3,8")
    with pytest.raises(UserError, match="takes two classes"):
        pictures(path, tmp_path, "attributes", classes="3")


@pytest.mark.parametrize("mirrored", [False, True])
def test_neighbours_of_copies_stand_at_distance_0(path, tmp_path, monkeypatch, mirrored):
    """Mirrored ones of a model that was trained on mirrored images."""
    target = dataclasses.replace(open_target(path), mirrored=mirrored)
    monkeypatch.setattr("kgen.explore.context.open_target", lambda *_, **__: target)
    copies = Context(path, Options()).reference.train.pixels[:10]
    copies = copies[:, :, ::-1] if mirrored else copies
    monkeypatch.setattr(Context, "decode", lambda self, z, labels=None: copies)
    shown = []
    monkeypatch.setattr("kgen.explore.samples.sheet", lambda rows, **given: shown.extend(rows) or sheet(rows, **given))
    caption = pictures(path, tmp_path, "neighbours")["neighbours.png"]
    assert len(shown) == 10 and all(np.array_equal(row[0], row[1]) for row in shown)
    assert "are at 0 to 0." in caption and ("mirrored or not" in caption) == mirrored


@pytest.mark.slow
def test_a_gan_gives_what_needs_no_encoder(gan, tmp_path):
    found = pictures(gan, tmp_path)
    expected = FILES - {"style.png", "class-to-class.png", "class-to-class.gif", "reconstructions.png", "scatter.png",
                        "attributes.png"}  # fmt: skip
    assert {*found} - {"curves-quality.png"} == expected
    assert "the nearest of 64 training images" in found["neighbours.png"]  # those that it saw, data.limit
    with Image.open(tmp_path / "progress.gif") as film:
        assert film.n_frames == len(list((gan / "samples").glob("epoch-*.png"))) == 3


def test_what_a_model_cannot_give_is_said(gan, tmp_path, capsys):
    assert main([str(gan), "--what", "scatter", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "kgen-explore: --what scatter: the model has no encoder\n"
    assert main([str(gan), "--what", "scater"]) == 2
    assert "did you mean 'scatter'" in capsys.readouterr().err
    assert main([str(gan), "--what", "traversal", "--dims", "0,9", "--out", str(tmp_path)]) == 2
    assert "--dims takes two of the dimensions 0 to 4" in capsys.readouterr().err
    assert main([str(gan), "--what", "samples", "--label", "3", "--out", str(tmp_path)]) == 2
    assert "the model is unconditional" in capsys.readouterr().err


def test_an_export_without_its_data(default_export, tmp_path):
    context = Context(default_export, Options())
    assert missing(context, "curves") == "only a run directory records a training"
    assert "samples.png" in pictures(default_export, tmp_path, "samples", "scatter")
    made = read_tag(tmp_path / "samples.png")
    assert made["call"] == f"kgen-explore {default_export} --what samples" and len(made["weights_hash"]) == 16


def test_a_server_does_not_tell_the_classes(tmp_path, monkeypatch):
    """So a class is asked for by its number, and what needs all of them is left out."""
    original = TFLiteSampler.__init__

    def of_a_server(self, *arguments):
        original(self, *arguments)
        self.spec = DataSpec("served", self.spec.image_shape)

    monkeypatch.setattr(TFLiteSampler, "__init__", of_a_server)
    model = Path(__file__).parents[2] / "exports" / "cvae-mnist" / "1" / "model.tflite"
    with pytest.raises(UserError, match="classes of 'served' are not known here; give the number of one, --label 0"):
        pictures(model, tmp_path, "samples")
    assert "class 3 " in pictures(model, tmp_path, "samples", label="3")["samples.png"]
    assert {*pictures(model, tmp_path, "interpolation", "manifold", label="3")} >= {"interpolation.png", "manifold.png"}
    with pytest.raises(UserError, match="--what style: a server does not tell the classes"):
        pictures(model, tmp_path, "style", label="3")


def test_pictures_of_data_that_have_changed_are_left_out(path):
    context = Context(path, Options())
    assert context.no_data == ""
    context = Context(path, Options())
    context.target.data_hashes = dict.fromkeys(("train", "validation", "test"), "0" * 16)
    assert f"images of 'digits' have changed since {path} was trained" in context.no_data
    assert Context(path, Options(), dataset="digits").no_data == ""  # named: other images may be meant


def test_training_images_that_have_changed_are_no_neighbours(path):
    """Where the real images to compare with are as they were; those set aside for validation were searched, too."""
    for split in ("train", "validation"):
        context = Context(path, Options())
        assert missing(context, "neighbours") == ""
        context = Context(path, Options())
        trained_on = context.target.trained_on
        hashes = {**trained_on.content.hashes, split: "0" * 16}
        content = dataclasses.replace(trained_on.content, hashes=hashes)
        context.target.trained_on = dataclasses.replace(trained_on, content=content)
        assert "training images of 'digits' have changed since the training" in missing(context, "neighbours")
        assert missing(context, "features") == ""


@pytest.mark.slow
def test_data_that_are_not_there_leave_pictures_out_and_say_so(tmp_path, capsys, monkeypatch):
    """The export that comes with the code was trained on MNIST, which a new user has not."""
    export = Path(__file__).parents[2] / "exports" / "cvae-mnist"
    monkeypatch.setattr(data, "load", lambda *args, **settings: (_ for _ in ()).throw(UserError("there is no mnist")))
    assert main([str(export), "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "left out neighbours, features, reconstructions, scatter, attributes: there is no mnist\n" in out
    assert {"samples.png", "style.png", "interpolation.gif", "traversal.png", "manifold.png"} == {
        file.name for file in tmp_path.iterdir()
    } - {"interpolation.png", "perturbation.png"}
    assert main([str(export), "--what", "scatter", "--out", str(tmp_path)]) == 2
    assert "--what scatter: there is no mnist" in capsys.readouterr().err


def test_the_dimension_that_moves_pixels_is_the_most_used_and_is_found_in_one_call():
    calls = []

    def decode(z, labels):
        calls.append(len(z))
        return images.to_uint8(np.clip(0.5 + 0.2 * z[:, 2, None, None, None] * np.ones((1, 4, 4, 1)), 0, 1))

    context = SimpleNamespace(
        no_encoder="none", no_data="none", code_dim=4, some_labels=lambda n: np.zeros(n, np.int32),
        sample_latents=lambda n, labels: np.zeros((n, 4), np.float32), decode=decode,
        decode_rows=lambda z, labels: Context.decode_rows(context, z, labels),
    )  # fmt: skip
    found, *_ = usage(context)
    assert len(calls) == 1
    np.testing.assert_allclose(found, [0, 0, 0.4, 0], atol=0.005)


def test_a_sheet_keeps_pixels_and_wraps_its_caption():
    rows = np.random.default_rng(0).integers(0, 256, (2, 3, 56, 56, 1), np.uint8)
    short, long = (sheet(rows, caption=text) for text in ("A caption.", "words " * 60))
    for picture in (short, long):
        shown = picture[MARGIN : MARGIN + 56, MARGIN + 56 + GAP : MARGIN + 2 * 56 + GAP, 0]
        np.testing.assert_array_equal(shown, rows[0, 1, ..., 0])
    assert long.shape[0] > short.shape[0] + 20 and long.shape[1] == short.shape[1]


def test_points_have_named_axes_and_a_color_and_a_marker_per_class():
    points, labels = np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 20
    canvas = scatter_canvas(points, labels, [f"class {n}" for n in range(20)], ("z0", "z1"))
    (axes,) = canvas.figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z0", "z1")
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [f"class {n}" for n in range(20)]
    looks = {(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in axes.collections}
    assert len(looks) == 20 and len({marker for _, marker in looks}) == 10
    (axes,) = scatter_canvas(points, labels, (), ("z0", "z1")).figure.axes
    assert axes.get_legend() is None and len(axes.collections[0].get_offsets()) == 90


def test_planes_have_gaps_names_and_marks_on_both_axes(monkeypatch):
    """The uppermost row is the largest value; marks that would touch are left out."""
    written, draw = [], ImageDraw.ImageDraw.text

    def write(self, place, text, **look):
        written.append((text, place, look.get("anchor")))
        draw(self, place, text, **look)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", write)
    panels = np.zeros((3, 20, 20, 28, 28, 1), np.uint8)
    panels[1, 0, 0] = 200
    values = np.linspace(-2, 2, 20)
    picture = planes(
        panels, across=("z0", values), up=("z1", values), caption="A caption.", names=["a", "b", "c"], side=28
    )
    marks = {text: place for text, place, _ in written}
    assert {"a", "b", "c", "z0", "z1", "-2", "+2"} <= {*marks}
    assert marks["a"][0] < marks["b"][0] and [text for text, *_ in written].count("z0") == 3
    across = sorted({x for text, (x, _), anchor in written if text[0] in "+-" and anchor == "mt"})  # of two columns
    assert 2 * 4 < len(across) < 2 * 20 and min(np.diff(across)) > 28
    (tops, lefts) = np.nonzero((picture == 200).all(axis=-1))
    assert len(tops) == 28 * 28 and (picture[tops.max() + 1 : tops.max() + 3, lefts.min()] == 255).all()
    up = [y for text, (_, y), anchor in written if text == "+2" and anchor == "rm"]
    assert min(abs(y - tops.mean()) for y in up) < 2


def test_frames_have_one_palette_and_one_that_is_shown_again_is_quantized_once(tmp_path, monkeypatch):
    frames, quantized, quantize = list(np.zeros((3, 8, 8, 3), np.uint8)), [], Image.Image.quantize
    monkeypatch.setattr(Image.Image, "quantize", lambda *a, **k: quantized.append(a) or quantize(*a, **k))
    for number, frame in enumerate(frames):
        frame[number] = 255
    made = {"kgen": "1", "label": "Katze \N{CAT}"}
    with Image.open(save_gif(tmp_path / "a.gif", [*frames, frames[1]], 20, made)) as picture:
        assert (picture.n_frames, len(quantized)) == (4, 1 + 3 + 1)  # the palette, the frames, the background
        shown = []
        for number in (1, 3):
            picture.seek(number)
            shown.append(np.asarray(picture.convert("RGB")))
    np.testing.assert_array_equal(*shown)
    assert read_tag(tmp_path / "a.gif") == made


def test_a_page_of_neither_a_run_nor_an_export(capsys, tmp_path):
    assert main(["http://127.0.0.1:1/v1/models/x", "--what", "page", "--out", str(tmp_path)]) == 2
    assert "--what page takes a run or an export" in capsys.readouterr().err


def test_a_run_that_no_page_holds_is_refused_without_tensorflow(path, tmp_path):
    """From the settings and the state of the checkpoint: a PixelVAE of two levels, then a decoder of 24 MiB."""
    config = json.loads((path / "config.json").read_text())
    state = {"epoch": 1, "step": 1, "metrics": {}, "parameters": {"encoder": 1, "decoder": 6 * 2**20}}
    for name, changes in {"pixels": {"model": "pixel_vae", "model_args": {}}, "large": {}}.items():
        checkpoints.write(tmp_path / name / "checkpoints" / "best.npz", {"model/0": np.zeros(1)}, state)
        (tmp_path / name / "config.json").write_text(json.dumps(config | changes))
    code = (
        "import sys; from kgen.cli.explore import main\n"
        "for run in ('pixels', 'large'): assert main([run, '--what', 'page']) == 2\n"
        "assert not {'tensorflow', 'keras'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    pixels, large = done.stderr.splitlines()
    assert "'pixel_vae' with two levels ends in a loop" in pixels and "best.npz) has 24.0 MiB; export the run" in large
    assert not [*tmp_path.rglob("*.html")]


def test_a_checkpoint_records_the_parameters_of_each_network(default_job):
    run = default_job[0]
    model = run.build_model()
    expected = {"encoder": model.encoder.count_params(), "decoder": model.decoder.count_params()}
    for which in ("best", "last"):
        found = checkpoints.read_state(run.checkpoint(which))["parameters"]
        assert expected.items() <= found.items() and sum(found.values()) == model.parameters
