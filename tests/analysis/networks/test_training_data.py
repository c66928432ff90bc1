"""Data sets to train on, in every form, whole and damaged; augmentation; and how they are divided."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")

from analysis.networks.training import cifar10  # noqa: E402
from analysis.networks.training.augmentation import (  # noqa: E402
    AUGMENTATIONS,
    MARGIN,
    TRIES,
    circular_shift,
    crop_box,
    draws,
    epoch_order,
    fitted,
    flip,
    pad_crop,
    resized_crop,
)
from analysis.networks.training.data import (  # noqa: E402
    Examples,
    batch_slices,
    evaluation_batches,
    load_data,
    split,
    training_batches,
)
from analysis.networks.training.loop import evaluate  # noqa: E402
from analysis.networks.training.recipe import RECIPES, recipe  # noqa: E402

CLASSES = 3
SMALL = replace(recipe("resnet-cifar10", classes=CLASSES, batch=8), size=(8, 8))
SOUND = replace(RECIPES["vgg41-esc10"], classes=CLASSES, size=(6, 5), batch=4)
rng = np.random.default_rng(0)


def pictures(count=30, side=8):
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def classes(count=30):
    return (np.arange(count) % CLASSES).astype(np.uint8)


@pytest.fixture
def archive(tmp_path):
    """Write arrays to an .npz file; those that are None are left out."""

    def write(name="data.npz", **changes):
        arrays = {"train_x": pictures(), "train_y": classes(), "test_x": pictures(12), "test_y": classes(12)} | changes
        path = tmp_path / name
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return write


@pytest.fixture
def folder(tmp_path):
    """Folders of pictures of several sizes, by class."""
    for part, count in (("train", 6), ("val", 3)):
        for name in "abc":
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                size = (10 + number, 12, 3)
                image = Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8))
                image.save(tmp_path / part / name / f"{number}.png")
    return tmp_path


# Augmentation


def test_draws_depend_on_seed_epoch_and_picture_alone():
    whole = draws(3, 5, np.arange(50), 7)
    assert whole.shape == (50, 7) and 0 <= whole.min() and whole.max() < 1
    np.testing.assert_array_equal(draws(3, 5, np.array([41, 7]), 7), whole[[41, 7]])
    np.testing.assert_array_equal(draws(3, 5, np.arange(50), 4), whole[:, :4])
    for others in (draws(4, 5, np.arange(50), 7), draws(3, 6, np.arange(50), 7)):
        assert not np.isin(others, whole).any()
    assert len(np.unique(whole)) == whole.size
    assert abs(draws(0, 0, np.arange(2000), 5).mean() - 0.5) < 0.01


@settings(max_examples=60)
@given(st.integers(1, 500), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_goes_through_everything_once(count, seed, epoch):
    order = epoch_order(seed, epoch, count)
    np.testing.assert_array_equal(np.sort(order), np.arange(count))
    assert count < 20 or not np.array_equal(order, epoch_order(seed, epoch + 1, count))


@settings(max_examples=60)
@given(st.integers(1, 100), st.integers(1, 20))
def test_batches_hold_everything_but_a_single_one_left(count, size):
    parts = batch_slices(np.arange(count), size)
    used = count - 1 if count > size > 1 and count % size == 1 else count
    if size == 1 and count > 1:
        used = count - 1
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(used))
    assert all(len(part) == size for part in parts[:-1])


def test_pad_crop_is_a_window_of_the_padded_picture():
    x, u = pictures(200), draws(0, 0, np.arange(200), 3)
    found = pad_crop(x, u)
    for picture, result, (down, right, mirror) in zip(x, found, u, strict=True):
        padded = np.pad(picture, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))
        top, left = int(down * 9), int(right * 9)
        window = padded[top : top + 8, left : left + 8]
        np.testing.assert_array_equal(result, window[:, ::-1] if mirror < 0.5 else window)
    middle = np.tile([0.5, 0.5, 0.9], (200, 1))
    np.testing.assert_array_equal(pad_crop(x, middle), x)


def test_circular_shift_is_that_of_numpy_and_reaches_all_places():
    x, u = pictures(300), draws(0, 0, np.arange(300), 2)
    found = circular_shift(x, u)
    for picture, result, (down, right) in zip(x, found, u, strict=True):
        np.testing.assert_array_equal(result, np.roll(picture, (int(8 * down), int(8 * right)), (0, 1)))
    assert len({(int(8 * a), int(8 * b)) for a, b in u}) == 64
    np.testing.assert_array_equal(np.sort(found, axis=None), np.sort(x, axis=None))


def test_half_of_the_pictures_are_mirrored():
    x, u = pictures(1000, 4), draws(0, 0, np.arange(1000), 23)
    mirrored = (flip(x, u) == x[:, :, ::-1]).all((1, 2, 3))
    assert abs(mirrored.mean() - 0.5) < 0.05
    np.testing.assert_array_equal(flip(flip(x, u), u), x)


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 10_000))
def test_crops_lie_in_the_picture(height, width, row):
    top, left, h, w = crop_box(height, width, draws(0, 0, np.array([row]), 2 * TRIES + 3)[0].tolist())
    assert h >= 1 and w >= 1 and top >= 0 and left >= 0 and top + h <= height and left + w <= width


def test_crops_have_the_areas_and_aspects_that_are_said():
    boxes = np.array([crop_box(500, 500, u) for u in draws(0, 0, np.arange(4000), 2 * TRIES + 3).tolist()])
    area, aspect = boxes[:, 2] * boxes[:, 3] / 500**2, boxes[:, 3] / boxes[:, 2]
    assert area.min() > 0.078 and area.max() <= 1
    assert aspect.min() > 0.74 and aspect.max() < 1.35 and abs(np.log(aspect).mean()) < 0.02
    assert 0.45 < area.mean() < 0.54  # of all areas from 0.08 to 1 but the widest of the large ones
    assert crop_box(100, 2000, [0.99] * 22) == (0, (2000 - 133) // 2, 100, 133)  # nothing fits: the middle


def test_pictures_are_fitted_and_cropped():
    wide = Image.fromarray(np.tile(np.arange(60, dtype=np.uint8)[None, :, None], (20, 1, 3)))
    assert fitted(wide, (10, 10)).size == (10, 10)
    np.testing.assert_allclose(np.asarray(fitted(wide, (10, 10)))[5, :, 0], 20.5 + 2 * np.arange(10), atol=1)
    square = pictures(1)[0]
    np.testing.assert_array_equal(fitted(Image.fromarray(square), (8, 8)), square)
    assert resized_crop(wide, (7, 9), draws(0, 0, np.arange(1), 23)[0].tolist()).size == (9, 7)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmented_batches(name):
    """Labels stay with their pictures, and processes and batches change nothing."""
    x = np.tile(np.arange(40, dtype=np.uint8)[:, None, None, None] + 1, (1, 8, 8, 3))  # each of one grey
    examples = Examples(x, np.arange(40) % CLASSES).select(np.arange(5, 40))
    chosen = replace(SMALL, augmentation=name)
    batches = list(training_batches(examples, chosen, 0, 1))
    inputs, targets = (torch.cat([batch[i] for batch in batches]) for i in (0, 1))
    greys = inputs.flatten(1).max(1).values.numpy()  # a border is black
    np.testing.assert_array_equal(targets, (greys - 1) % CLASSES)
    np.testing.assert_array_equal(np.sort(greys), np.arange(6, 41))
    assert inputs.dtype == torch.uint8 and inputs.shape == (35, 8, 8, 3)

    later = list(training_batches(examples, chosen, 0, 1, start=2))
    for a, b in zip(batches[2:], later, strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    order = epoch_order(0, 1, 35)
    alone = examples.batch(order[9:10], (8, 8), AUGMENTATIONS[name], (0, 1))
    assert torch.equal(alone[0], inputs[9:10])


@pytest.mark.parametrize("steps", [1, 3, 5, 11])
def test_an_epoch_has_as_many_steps_as_the_recipe_says(steps):
    """In passes through all examples, each in another order and augmented otherwise; and from any step on."""
    x = np.random.default_rng(0).integers(0, 256, (35, 8, 8, 3), dtype=np.uint8)
    examples, chosen = Examples(x, np.arange(35)), replace(SMALL, augmentation="pad-crop", batch=8, steps=steps)
    epochs = [list(training_batches(examples, chosen, 0, epoch)) for epoch in (0, 1)]
    assert [len(batches) for batches in epochs] == [steps, steps]
    numbers = [torch.cat([batch[1] for batch in batches]).tolist() for batches in epochs]
    for each in numbers:
        for start in range(0, len(each), 35):
            assert len(set(each[start : start + 35])) == len(each[start : start + 35])
    assert numbers[0] != numbers[1] and numbers[0][:35] != numbers[0][35:70]
    for start in range(steps):
        later = list(training_batches(examples, chosen, 0, 1, start))
        assert all(torch.equal(a[0], b[0]) for a, b in zip(epochs[1][start:], later, strict=True))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12, if there are threads
def test_processes_that_read_change_nothing(folder):
    examples, chosen = load_data(folder, SMALL, progress=False).train, replace(SMALL, augmentation="resized-crop")
    ours, theirs = (list(training_batches(examples, chosen, 0, 0, workers=n)) for n in (0, 2))
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


# Arrays


def test_arrays(archive):
    data = load_data(archive(), SMALL)
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 12)
    assert sorted([*data.train.rows, *data.validation.rows]) == list(range(30))
    (x, y, skipped), *_ = evaluation_batches(data.test, SMALL)
    assert torch.equal(x, torch.from_numpy(pictures(12))[:8]) and y.tolist() == classes(12)[:8].tolist() and not skipped
    prepared = data.prepared(x)
    assert prepared.shape == (8, 3, 8, 8) and prepared.is_contiguous()
    expected = (x[2, 3, 4, 1] / 255 - 0.456) / 0.224
    torch.testing.assert_close(prepared[2, 1, 3, 4], expected)


def test_arrays_as_files_stay_on_disk(tmp_path):
    for name, array in {"train_x": pictures(), "train_y": classes()}.items():
        np.save(tmp_path / f"{name}.npy", array)
    data = load_data(tmp_path, SMALL)
    assert isinstance(data.train.inputs, np.memmap) and data.test is None
    assert torch.equal(
        next(evaluation_batches(data.train, SMALL))[0], torch.from_numpy(pictures()[data.train.rows[:8]])
    )


def test_arrays_of_another_size_are_fitted(archive):
    data = load_data(archive(train_x=pictures(30, 11), test_x=pictures(12, 11)), SMALL)
    assert next(evaluation_batches(data.test, SMALL))[0].shape == (8, 8, 8, 3)
    assert next(training_batches(data.train, SMALL, 0, 0))[0].shape == (8, 8, 8, 3)


def test_spectrograms_are_normalised_by_what_is_trained_on(archive):
    x = 30 + 5 * np.random.default_rng(0).standard_normal((30, 6, 5)).astype(np.float16)
    data = load_data(archive(train_x=x, test_x=x[:12]), SOUND)
    chosen = x[data.train.rows].astype(float)
    assert (data.mean, data.std) == (pytest.approx((chosen.mean(),)), pytest.approx((chosen.std(),)))
    prepared = data.prepared(next(evaluation_batches(data.train, SOUND))[0])
    assert prepared.shape == (4, 1, 6, 5) and prepared.dtype == torch.float32
    everything = data.prepared(torch.from_numpy(x[data.train.rows]))
    assert abs(everything.mean()) < 1e-3 and abs(everything.std() - 1) < 1e-2
    with pytest.raises(ValueError, match="the same constant"):
        load_data(archive(train_x=np.ones((30, 6, 5)), test_x=x[:12]), SOUND)


def test_recordings_are_not_divided(archive):
    clips = np.arange(30) // 3 + 100
    x = np.random.default_rng(0).standard_normal((30, 6, 5))
    data = load_data(archive(train_x=x, train_clip=clips, test_x=None, test_y=None), replace(SOUND, held_out=0.3))
    trained, held = (set(clips[part.rows]) for part in (data.train, data.validation))
    assert len(held) == 3 and not trained & held and len(trained | held) == 10
    assert data.validation.clips.tolist() == np.repeat(np.arange(3), 3).tolist()


@settings(max_examples=60)
@given(st.integers(2, 200), st.floats(0, 0.5))
def test_splits_are_disjoint_and_always_the_same(count, held_out):
    examples = Examples(np.zeros((count, 2, 2, 3), np.uint8), np.zeros(count, np.int64))
    expected = max(1, round(held_out * count)) if held_out else 0
    training, validation = split(examples, held_out)
    assert len(validation) == expected
    np.testing.assert_array_equal(np.sort(np.concatenate((training, validation))), np.arange(count))
    np.testing.assert_array_equal(split(examples, held_out)[0], training)


def test_limits(archive):
    data = load_data(archive(), SMALL, limit=5)
    assert (len(data.train), len(data.validation), len(data.test)) == (5, 3, 5)
    more = load_data(archive(), SMALL, limit=9)
    assert set(data.train.rows) < set(more.train.rows)
    whole = load_data(archive(), replace(SMALL, held_out=0.0))
    assert whole.validation is whole.test and len(whole.train) == 30
    assert len({str(load_data(archive(), SMALL, limit).digests()) for limit in (5, 9, None)}) == 3
    changed = pictures()
    changed[:] = 255 - changed
    assert load_data(archive(train_x=changed), SMALL).digests() != load_data(archive(), SMALL).digests()
    for limit, message in ((1, "limit is 1"), (0, "limit is 0")):
        with pytest.raises(ValueError, match=message):
            load_data(archive(), SMALL, limit)


BAD = {
    "shape": ({"train_x": pictures()[..., 0]}, r"train_x is uint8 of shape \(30, 8, 8\); expected pictures"),
    "float": ({"train_x": pictures() / 255}, r"train_x is float64 .*; expected pictures \(N, H, W, 3\) uint8"),
    "empty": ({"train_x": pictures()[:0], "train_y": classes()[:0]}, "expected at least one example"),
    "range": ({"train_y": classes() + 1}, r"train_y holds 3; expected 0 to 2"),
    "negative": ({"test_y": classes(12).astype(int) - 1}, r"test_y holds -1; expected 0 to 2"),
    "one-hot": (
        {"train_y": np.eye(3, dtype=int)[classes()]},
        r"train_y is int64 of shape \(30, 3\); expected integers",
    ),
    "real": ({"train_y": classes() / 2}, "train_y is float64"),
    "count": ({"train_y": classes(29)}, "train_x has 30 examples and train_y 29"),
    "missing": ({"test_y": None}, r"has no array test_y; it has test_x, train_x, train_y, expected"),
    "others": ({"train_x": None, "x": pictures()}, "has no array train_x; it has test_x, test_y, train_y, x"),
    "clips": ({"train_clip": np.zeros((30, 2))}, r"train_clip is float64 of shape \(30, 2\)"),
    "differ": (
        {"test_x": pictures(12, 9)},
        r"training inputs have shape \(8, 8, 3\), those of the test set \(9, 9, 3\)",
    ),
    "objects": ({"train_y": np.array([None] * 30)}, "cannot be read as arrays: Object arrays cannot be loaded"),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_cannot_be(archive, case):
    changes, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        load_data(archive(**changes), SMALL)
    assert "\n" not in str(caught.value)


def test_spectrograms_and_several_classes_that_cannot_be(archive):
    x = np.random.default_rng(0).standard_normal((30, 6, 5))
    rest = {"test_x": None, "test_y": None}
    with pytest.raises(ValueError, match=r"shape \(30, 5, 6\); expected spectrograms \(N, 6, 5\) floating, time first"):
        load_data(archive(train_x=x.transpose(0, 2, 1), **rest), SOUND)
    x[3, 3, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        load_data(archive(train_x=x, **rest), SOUND)
    several = replace(SOUND, loss="binary cross-entropy", metric="mAP")
    x[3, 3, 3] = 0
    with pytest.raises(ValueError, match=r"train_y is uint8 of shape \(30,\); expected integers \(N, classes\)"):
        load_data(archive(train_x=x, **rest), several)
    with pytest.raises(ValueError, match="is of 4 classes; expected 3"):
        load_data(archive(train_x=x, train_y=np.ones((30, 4), int), **rest), several)
    with pytest.raises(ValueError, match="holds 2; expected 0 to 1"):
        load_data(archive(train_x=x, train_y=np.full((30, 3), 2), **rest), several)


def test_places_without_data(tmp_path, archive):
    with pytest.raises(FileNotFoundError, match="no such data folder"):
        load_data(tmp_path / "none", SMALL)
    with pytest.raises(FileNotFoundError, match=r"holds no data set; expected .*train_x.*'train'.*cifar-10-binary"):
        load_data(tmp_path, SMALL)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r"is a file; expected an \.npz file or a folder"):
        load_data(tmp_path / "a.txt", SMALL)
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.npz cannot be read as arrays"):
        load_data(tmp_path / "bad.npz", SMALL)
    with pytest.raises(FileNotFoundError, match="has no test set"):
        load_data(archive(test_x=None, test_y=None), replace(SMALL, held_out=0.0))
    with pytest.raises(ValueError, match="1 examples to train on"):
        load_data(archive(train_x=pictures(1), train_y=classes(1)), SMALL)
    with pytest.raises(ValueError, match="only CIFAR-10 can be downloaded"):
        load_data(tmp_path / "none", SMALL, download=True)


# Folders


def test_folders(folder):
    (folder / "train" / "a" / ".hidden.png").write_bytes(b"")
    (folder / "train" / "a" / "notes.txt").write_bytes(b"")
    data = load_data(folder, SMALL)
    assert (len(data.train), len(data.validation), len(data.test)) == (16, 2, 9)
    assert data.test.targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    x, _, _ = next(evaluation_batches(data.test, SMALL))
    with Image.open(folder / "val" / "a" / "1.png") as image:
        np.testing.assert_array_equal(x[1], fitted(image, (8, 8)))


def test_broken_pictures_are_left_out_and_named(folder):
    for name in ("0", "1"):
        (folder / "val" / "b" / f"{name}.png").write_bytes(b"\x89PNG nothing")
    batches = list(evaluation_batches(load_data(folder, SMALL).test, replace(SMALL, batch=4)))
    assert [len(y) for _, y, _ in batches] == [3, 3, 1]
    assert torch.cat([y for _, y, _ in batches]).tolist() == [0, 0, 0, 1, 2, 2, 2]
    skipped = [pair for batch in batches for pair in batch[2]]
    assert [Path(name).name for name, _ in skipped] == ["0.png", "1.png"]
    assert all("Pillow finds no" in reason for _, reason in skipped)
    (folder / "val" / "b" / "2.png").write_bytes(b"")
    alone = list(evaluation_batches(load_data(folder, SMALL).test, replace(SMALL, batch=1)))
    assert [tuple(x.shape) for x, _, _ in alone[3:6]] == [(0, 8, 8, 3)] * 3


def test_val_and_test_are_for_choice_and_for_the_score(folder):
    alone = load_data(folder, SMALL)
    assert alone.origins == {"validation": "held out of train", "test": "val"}
    for name in "abc":
        (folder / "test" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(folder / "test" / name / "0.png")
    both = load_data(folder, SMALL)
    assert (len(both.train), len(both.validation), len(both.test)) == (18, 9, 3)
    assert {Path(name).parts[-3] for name in both.validation.inputs} == {"val"}
    assert {Path(name).parts[-3] for name in both.test.inputs} == {"test"}
    assert both.origins == {"validation": "val", "test": "test"}
    limited = load_data(folder, SMALL, limit=2)
    assert [len(part) for part in (limited.train, limited.validation, limited.test)] == [2, 2, 2]
    same = load_data(folder, replace(SMALL, held_out=0.0))
    assert len(same.train) == 18 and same.validation is not same.test


def test_a_changed_file_is_another_data_set(folder):
    before = load_data(folder, SMALL).digests()
    assert load_data(folder, SMALL).digests() == before
    file = folder / "train" / "b" / "2.png"
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert load_data(folder, SMALL).digests() != before
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_data(folder, SMALL).digests() == before
    file.rename(file.with_name("2_.png"))
    assert load_data(folder, SMALL).digests() != before


def test_evaluation_of_nothing_that_can_be_read_fails(folder):
    for file in (folder / "val").glob("*/*.png"):
        file.write_bytes(b"nothing")
    data = load_data(folder, SMALL)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, CLASSES))
    with pytest.raises(ValueError, match=r"none of the pictures to evaluate can be read; for example .*val"):
        evaluate(model, data.test, data, SMALL, on_skip=lambda *_: None)


def test_folders_that_are_incomplete(folder):
    with pytest.raises(ValueError, match="has 3 folders; expected one for each of the 10 classes"):
        load_data(folder, replace(SMALL, classes=10))
    (folder / "val" / "b").rename(folder / "val" / "d")
    with pytest.raises(ValueError, match="class b is a folder in train but not in val"):
        load_data(folder, SMALL)
    for file in (folder / "train" / "c").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"no images \(JPEG.* found in .*train.c"):
        load_data(folder, SMALL)
    with pytest.raises(ValueError, match="is a folder of pictures by class; vgg41-esc10 needs arrays"):
        load_data(folder, SOUND)
    for name in "abc":
        for file in (folder / "train" / name).iterdir():
            file.unlink()
        (folder / "train" / name).rmdir()
    with pytest.raises(FileNotFoundError, match="has no folders"):
        load_data(folder, SMALL)


# CIFAR-10

CIFAR = replace(RECIPES["resnet-cifar10"], batch=8)


@pytest.fixture
def records(monkeypatch):
    """Pictures of six small files, (6, 5, 32, 32, 3), and classes (6, 5)."""
    monkeypatch.setattr(cifar10, "RECORDS", 5)
    return rng.integers(0, 256, (6, 5, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, (6, 5))


def contents(records, form):
    """Files of either form, by name."""
    files = {}
    for name, x, y in zip(form.files, *records, strict=True):
        flat = x.transpose(0, 3, 1, 2).reshape(5, -1)
        if form is cifar10.BINARY:
            files[name] = np.concatenate([y[:, None].astype(np.uint8), flat], axis=1).tobytes()
        else:
            files[name] = python2_pickle(flat, y)
    return files


def python2_pickle(flat, y):
    """What Python 2 wrote, with its byte strings, opcode by opcode."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        + b"(K\x01K\x05M"
        + flat.shape[1].to_bytes(2, "little")
        + b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + flat.size.to_bytes(4, "little")
        + flat.tobytes()
        + b"tb"
    )
    labels = b"](" + b"".join(b"K" + bytes([c]) for c in y.tolist()) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + labels + b"U\x0bbatch_labelU\x03oneu."


def write_tar(path, form, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{form.folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("form", [cifar10.BINARY, cifar10.PYTHON], ids=["binary", "python"])
def test_cifar10(tmp_path, records, form):
    files = contents(records, form)
    write_tar(tmp_path / form.name, form, files)
    unpacked = tmp_path / "other" / form.folder
    unpacked.mkdir(parents=True)
    for name, data in files.items():
        (unpacked / name).write_bytes(data)
    for place in (tmp_path, tmp_path / "other", unpacked):
        data = load_data(place, CIFAR)
        assert (len(data.train), len(data.validation), len(data.test)) == (23, 2, 5)
        np.testing.assert_array_equal(data.train.inputs, records[0][:5].reshape(25, 32, 32, 3))
        np.testing.assert_array_equal(data.test.inputs, records[0][5])
        np.testing.assert_array_equal(data.test.targets, records[1][5])

    missing, broken = form.files[1], form.files[2]
    whole = (unpacked / broken).read_bytes()
    (unpacked / broken).write_bytes(whole[:-7])
    with pytest.raises(ValueError, match=f"{broken} (has|is not a batch)"):
        load_data(unpacked, CIFAR)
    (unpacked / broken).write_bytes(whole)
    (unpacked / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f"is incomplete: {missing} missing; expected {form.files[0]}, "):
        load_data(unpacked, CIFAR)
    write_tar(tmp_path / form.name, form, {missing: b""})
    with pytest.raises(FileNotFoundError, match=f"is incomplete: {form.files[0]}, {form.files[2]}"):
        load_data(tmp_path, CIFAR)
    (tmp_path / form.name).write_bytes((tmp_path / form.name).read_bytes()[:50])
    with pytest.raises(ValueError, match=f"is no whole archive.*{form.md5}"):
        load_data(tmp_path, CIFAR)


def test_pickles_run_no_code(tmp_path, records):
    class Evil:
        def __reduce__(self):
            return exec, (f"import os; os.mkdir({str(tmp_path / 'trace')!r})",)

    files = contents(records, cifar10.PYTHON)
    for content, message in (
        (Evil(), "it asks for .*exec"),
        ({b"data": Evil(), b"labels": []}, "it asks for .*exec"),
        ({b"labels": []}, "data"),
        ({b"data": np.zeros((5, 7)), b"labels": [0] * 5}, r"has float64 data of shape \(5, 7\)"),
        (7, "is not a batch of CIFAR-10"),
    ):
        files["data_batch_3"] = pickle.dumps(content, protocol=4)
        write_tar(tmp_path / cifar10.PYTHON.name, cifar10.PYTHON, files)
        with pytest.raises(ValueError, match=message):
            load_data(tmp_path, CIFAR)
    assert not (tmp_path / "trace").exists()


class Downloader:
    """In place of pooch's: copies bytes, or fails."""

    def __init__(self, data):
        self.data, self.urls = data, []

    def __call__(self, **options):
        return self.fetch

    def fetch(self, url, target, _):
        self.urls.append(url)
        if self.data is None:
            raise OSError("no connection")
        Path(target).write_bytes(self.data)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_download_on_request_only(tmp_path, records, monkeypatch):
    import pooch

    write_tar(tmp_path / "made.tar.gz", cifar10.BINARY, contents(records, cifar10.BINARY))
    data = (tmp_path / "made.tar.gz").read_bytes()
    server = Downloader(data)
    monkeypatch.setattr(pooch, "HTTPDownloader", server)
    monkeypatch.setattr(cifar10, "BINARY", replace(cifar10.BINARY, md5=hashlib.md5(data).hexdigest()))
    folder = tmp_path / "data"
    with pytest.raises(FileNotFoundError):
        load_data(folder, CIFAR)
    for _ in range(2):
        assert len(load_data(folder, CIFAR, download=True, progress=False).train) == 23
    assert server.urls == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]

    server.data = b"something else"
    with pytest.raises(ValueError, match="is not the published file: expected MD5"):
        load_data(tmp_path / "wrong", CIFAR, download=True, progress=False)
    server.data = None
    with pytest.raises(
        OSError, match=r"cannot download https.* \(no connection\); .*place the file cifar-10-binary\.tar\.gz in"
    ):
        load_data(tmp_path / "off", CIFAR, download=True, progress=False)


# What is packed


def test_sheets_of_pictures_are_cut(tmp_path):
    from scripts import pack_data

    tiles = rng.integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
    sheet = tiles.reshape(25, 40, 32, 32, 3).swapaxes(1, 2).reshape(800, 1280, 3)
    for name in ("train_00", "test_00"):
        Image.fromarray(sheet).save(tmp_path / f"{name}.webp", lossless=True, quality=0, method=0)
    labels = np.arange(1000)[None] % 10
    np.savez(tmp_path / "labels.npz", train_labels=labels, test_labels=labels)
    arrays = pack_data.cifar10(tmp_path)
    np.testing.assert_array_equal(arrays["train_x"], tiles)
    assert arrays["test_y"].tolist() == labels[0].tolist()
    np.savez(tmp_path / "labels.npz", train_labels=np.tile(labels, (2, 1)), test_labels=labels)
    with pytest.raises(ValueError, match=r"has 1 sheets train_\*.webp; expected 2"):
        pack_data.cifar10(tmp_path)


def test_packed_sets(tmp_path):
    from shared_data import DATA

    from scripts import pack_data

    if not (DATA / "esc10").is_dir():
        pytest.skip("needs the data (set SHIFTSCOPE_DATA)")
    out = tmp_path / "esc10.npz"
    np.savez(out, **pack_data.esc10(DATA / "esc10", 2))
    data = load_data(out, RECIPES["vgg41-esc10"])
    assert len(data.test) == 80 * 8 and len(data.train) + len(data.validation) == 320 * 8
    assert not set(data.train._clips[data.train.rows]) & set(data.validation._clips[data.validation.rows])
    with np.load(DATA / "esc10" / "esc10_logmel_u8.npz") as found:
        clip = np.flatnonzero(found["fold"] == 2)[3]
        np.testing.assert_array_equal(data.test.inputs[3 * 8 + 2], -80 + 0.5 * found["logmel"][clip, :, 100:201].T)
        assert data.test.targets[3 * 8 + 2] == found["label"][clip]
    with pytest.raises(ValueError, match="fold is 9"):
        pack_data.esc10(DATA / "esc10", 9)
