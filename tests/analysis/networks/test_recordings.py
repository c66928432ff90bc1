"""Sound files and data sets of them, packed into the arrays that training reads."""

from __future__ import annotations

import csv

import numpy as np
import pytest

torch = pytest.importorskip("torch")
soundfile = pytest.importorskip("soundfile")

from analysis.files.sounds import read_sound  # noqa: E402
from analysis.networks.audio import LogMel, class_folders, fsd50k, pack_recordings, patches  # noqa: E402
from analysis.networks.training.data import load_data  # noqa: E402
from analysis.networks.training.recipe import recipe  # noqa: E402
from scripts import pack_data  # noqa: E402

RATE = 8000
VOCABULARY = ["Bark", "Drip", "Typing"]
DEV = [("1", "Bark", "train"), ("2", "Drip,Bark", "train"), ("3", "Typing", "val")]
EVAL = [("9", "Drip")]


def write(path, seconds, rate=RATE, channels=1, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, audio, rate, subtype="PCM_16")
    return audio


@pytest.fixture
def folder(tmp_path):
    """FSD50K in small: four recordings of three classes, one shorter than a patch."""
    truth = tmp_path / "FSD50K.ground_truth"
    truth.mkdir()
    with (truth / "vocabulary.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[i, name, f"/m/{i}"] for i, name in enumerate(VOCABULARY)])
    for name, header, rows in (
        ("dev.csv", ["fname", "labels", "mids", "split"], [(f, x, "m", s) for f, x, s in DEV]),
        ("eval.csv", ["fname", "labels", "mids"], [(f, x, "m") for f, x in EVAL]),
    ):
        with (truth / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    for number, (name, *_) in enumerate(DEV):
        write(tmp_path / "FSD50K.dev_audio" / f"{name}.wav", (2.4, 0.4, 1.6)[number], seed=number)
    write(tmp_path / "FSD50K.eval_audio" / "9.wav", 2.0, seed=9)
    return tmp_path


def test_a_data_set_becomes_the_patches_of_its_recordings(folder, tmp_path):
    recordings, names = fsd50k(folder)
    assert names == VOCABULARY
    assert [(r.part, r.classes) for r in recordings] == [
        ("train", (0,)), ("train", (0, 1)), ("val", (2,)), ("test", (1,))
    ]  # fmt: skip
    log_mel = LogMel(RATE)
    out = pack_recordings(recordings, 3, tmp_path / "packed", multilabel=True, log_mel=log_mel, progress=False)
    arrays = {path.stem: np.load(path) for path in out.glob("*.npy")}
    assert arrays["train_y"].tolist() == [[1, 0, 0]] * 3 + [[1, 1, 0]]
    assert arrays["train_clip"].tolist() == [0, 0, 0, 1]
    for part, chosen in (("train", recordings[:2]), ("val", recordings[2:3]), ("test", recordings[3:])):
        audio = [torch.from_numpy(soundfile.read(r.path, dtype="float32")[0]) for r in chosen]
        expected = torch.cat([patches(log_mel(a)) for a in audio])
        np.testing.assert_array_equal(arrays[f"{part}_x"], expected.half().numpy())
    found = load_data(out, recipe("vgg41-fsd50k", classes=3), progress=False)
    assert found.origins == {"validation": "val", "test": "test"}
    assert (len(found.train), len(found.validation), len(found.test)) == (4, 2, 3)


def test_folders_of_classes(tmp_path):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            write(tmp_path / part / name / "a.wav", 0.2)
    recordings, names = class_folders(tmp_path)
    assert names == ["cat", "dog"]
    assert [(r.part, r.classes) for r in recordings] == [
        ("train", (0,)),
        ("train", (1,)),
        ("test", (0,)),
        ("test", (1,)),
    ]
    out = pack_recordings(recordings, 2, tmp_path / "o", multilabel=False, log_mel=LogMel(RATE), progress=False)
    assert np.load(out / "train_y.npy").tolist() == [0, 1]
    (tmp_path / "test" / "dog" / "a.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"dog.* holds no sound"):
        class_folders(tmp_path)
    (tmp_path / "test" / "dog").rmdir()
    with pytest.raises(FileNotFoundError, match=r"class folder .*dog"):
        class_folders(tmp_path)


def test_reading_averages_channels_and_resamples(tmp_path):
    path = tmp_path / "a.wav"
    audio = write(path, 0.25, channels=2)
    np.testing.assert_allclose(read_sound(path, RATE), audio.mean(1), atol=2**-15)
    wave = np.sin(2 * np.pi * 440 * np.arange(4000) / RATE) / 2
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    finer = read_sound(path, 2 * RATE)
    assert len(finer) == 8000
    expected = np.sin(2 * np.pi * 440 * np.arange(8000) / (2 * RATE)) / 2
    assert np.abs(finer - expected)[200:-200].max() < 2e-3


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (lambda f: (f / "FSD50K.eval_audio" / "9.wav").unlink(), FileNotFoundError, "9.wav"),
        (lambda f: (f / "FSD50K.ground_truth" / "dev.csv").unlink(), FileNotFoundError, "dev.csv"),
        (lambda f: (f / "FSD50K.dev_audio").rename(f / "elsewhere"), FileNotFoundError, "FSD50K.dev_audio"),
        (lambda f: (f / "FSD50K.ground_truth" / "eval.csv").write_text("fname,labels\n9,Moo\n"), ValueError, "Moo"),
        (lambda f: (f / "FSD50K.ground_truth" / "dev.csv").write_text("fname,labels\n"), ValueError, "split"),
        (lambda f: write(f / "FSD50K.dev_audio" / "2.wav", 0.02), ValueError, "2.wav lasts 20 ms"),
        (lambda f: write(f / "FSD50K.dev_audio" / "2.wav", 1, rate=16000), ValueError, "16000 samples per second"),
        (lambda f: (f / "FSD50K.dev_audio" / "2.wav").write_bytes(b"RIFF no"), ValueError, "2.wav cannot be read"),
    ],
)
def test_what_is_wrong_is_named(folder, tmp_path, spoil, error, told):
    spoil(folder)
    with pytest.raises(error, match=told):
        recordings, names = fsd50k(folder)
        pack_recordings(
            recordings,
            len(names),
            tmp_path / "o",
            multilabel=True,
            log_mel=LogMel(RATE),
            file_rate=RATE,
            progress=False,
        )
    assert not (tmp_path / "o").exists(), "headers are read before anything is written"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda f: (f / "test" / "dog" / "a.wav").unlink(), "dog"),
        (lambda f: write(f / "test" / "dog" / "a.wav", 0.006), "a.wav lasts 6 ms"),
        (lambda f: write(f / "test" / "dog" / "a.wav", 0.2, rate=2 * RATE), str(2 * RATE)),
    ],
)
def test_the_script_that_packs_says_in_one_line_what_is_wrong(tmp_path, capsys, spoil, told):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            write(tmp_path / part / name / "a.wav", 0.2)
    spoil(tmp_path)
    with pytest.raises(SystemExit) as end:
        pack_data.main(["sounds", str(tmp_path), str(tmp_path / "o")])
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and told in line and not (tmp_path / "o").exists()
