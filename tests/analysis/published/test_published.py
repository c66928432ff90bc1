"""Published results: the tables are those of their sources, and this package's metric gives the printed numbers."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from scipy import signal
from shared_data import DATA

from analysis.published.tables import (
    REFERENCE,
    TABLES,
    archived_corruptions,
    archived_scores,
    archived_shifts,
    parts_of,
    poster_beside_archive,
    published_table,
    validation_errors,
)
from scripts import published_tables

IMAGENET = {  # error of one crop and of ten crops, top-1 and top-5, and mFR, to the printed digits
    "alexnet": (45.29, 22.24, 41.31, 19.25, 100.0),
    "walexnet-rmax": (44.89, 21.78, 40.79, 18.99, 101.4),
    "walexnet-cmod": (44.26, 21.23, 40.23, 18.48, 88.0),
    "alexnet-blur": (44.37, 21.56, 40.75, 18.75, 63.8),
    "walexnet-rmax-blur": (44.25, 21.42, 40.46, 18.52, 63.1),
    "walexnet-cmod-blur": (43.34, 20.46, 39.56, 17.93, 69.4),
    "alexnet-blur4": (44.76, 21.97, 41.12, 19.10, 58.1),
    "walexnet-rmax-blur4": (44.56, 21.91, 40.63, 18.99, 59.2),
    "walexnet-cmod-blur4": (43.64, 20.92, 39.50, 17.94, 71.0),
    "resnet34": (27.62, 9.23, 24.81, 7.66, 78.1),
    "wresnet34-rmax": (27.43, 9.20, 24.72, 7.63, 77.2),
    "wresnet34-cmod": (27.18, 9.01, 24.42, 7.40, 73.1),
    "resnet34-blur": (26.66, 8.64, 23.99, 7.16, 61.2),
    "wresnet34-rmax-blur": (26.69, 8.56, 24.14, 7.27, 65.2),
    "wresnet34-cmod-blur": (26.55, 8.41, 23.73, 7.00, 62.5),
    "wresnet34-rmax-blur-ablated": (26.83, 8.63, 24.32, 7.15, 69.7),
    "resnet34-blur4": (26.52, 8.72, 24.07, 7.31, 60.3),
    "wresnet34-rmax-blur4": (26.57, 8.72, 24.30, 7.30, 62.7),
    "wresnet34-cmod-blur4": (26.58, 8.56, 23.96, 7.25, 61.5),
    "resnet34-ablur": (26.13, 8.27, 23.54, 6.98, 60.8),
    "wresnet34-rmax-ablur": (25.96, 8.18, 23.60, 6.87, 62.1),
    "wresnet34-cmod-ablur": (26.09, 8.21, 23.71, 6.96, 63.1),
    "wresnet34-rmax-ablur-ablated": (26.44, 8.36, 23.86, 6.96, 70.3),
}
CIFAR = {  # error of one crop, of ten crops, and mFR
    "resnet18": (14.92, 10.80, 100.0),
    "wresnet18-rmax": (14.23, 10.25, 92.4),
    "wresnet18-cmod": (13.83, 9.61, 88.8),
    "resnet18-blur": (14.21, 10.41, 87.7),
    "wresnet18-rmax-blur": (13.08, 9.65, 84.6),
    "wresnet18-cmod-blur": (12.32, 8.93, 85.7),
    "resnet18-ablur": (14.60, 11.00, 90.9),
    "wresnet18-rmax-ablur": (14.52, 10.96, 86.5),
    "wresnet18-cmod-ablur": (12.79, 9.72, 81.7),
    "resnet34": (15.21, 10.89, 100.3),
    "wresnet34-rmax": (14.49, 10.49, 99.2),
    "wresnet34-cmod": (12.91, 9.21, 93.0),
    "resnet34-blur": (15.66, 11.57, 88.2),
    "wresnet34-rmax-blur": (13.24, 9.87, 85.6),
    "wresnet34-cmod-blur": (12.35, 9.07, 83.7),
    "resnet34-ablur": (16.30, 12.79, 91.9),
    "wresnet34-rmax-ablur": (14.02, 10.36, 93.3),
    "wresnet34-cmod-ablur": (12.77, 9.17, 86.6),
}
DIVERGENCE = {  # nats, for horizontal shifts of 1/2, 1, 2, 4 and 8 pixels
    "alexnet": (0.0118, 0.0267, 0.0437, 0.0531, 0.0526),
    "walexnet-rmax": (0.0157, 0.0338, 0.0525, 0.0509, 0.0496),
    "walexnet-cmod": (0.0044, 0.0107, 0.0272, 0.0482, 0.0502),
    "alexnet-blur": (0.0037, 0.0080, 0.0120, 0.0136, 0.0282),
    "walexnet-cmod-blur": (0.0026, 0.0063, 0.0176, 0.0331, 0.0289),
    "resnet34": (0.0152, 0.0322, 0.0584, 0.0849, 0.0987),
    "wresnet34-rmax": (0.0188, 0.0391, 0.0570, 0.0739, 0.0931),
    "wresnet34-cmod": (0.0092, 0.0251, 0.0524, 0.0692, 0.0890),
    "resnet34-blur": (0.0119, 0.0231, 0.0367, 0.0558, 0.0693),
    "wresnet34-cmod-blur": (0.0076, 0.0200, 0.0405, 0.0509, 0.0663),
    "resnet34-ablur": (0.0137, 0.0262, 0.0389, 0.0524, 0.0679),
    "wresnet34-cmod-ablur": (0.0073, 0.0195, 0.0396, 0.0499, 0.0686),
}
EPOCHS = (1, 5, 10, 20, 30, 31, 40, 60, 61, 75, 90)
VALIDATION = {  # top-1 error, %, after these epochs
    "alexnet": (97.79, 68.68, 59.98, 54.74, 53.40, 47.40, 44.50, 42.86, 42.16, 41.84, 41.82),
    "walexnet-rmax": (93.76, 66.62, 58.74, 53.18, 51.70, 46.25, 44.03, 42.50, 42.09, 41.81, 41.63),
    "walexnet-cmod": (93.66, 65.82, 57.13, 52.79, 50.27, 45.31, 43.21, 41.95, 41.24, 40.92, 40.80),
}
PARAMETERS = {"alexnet": 61_100_840, "walexnet-cmod": 61_089_433, "resnet34": 21_797_672, "wresnet34-cmod": 21_794_171}


def close(values, printed, digits):
    """Equal up to the rounding of print, a half either way."""
    return np.abs(np.asarray(values) - np.asarray(printed)).max() <= 0.5 * 10.0**-digits + 1e-9


@pytest.mark.parametrize(("dataset", "expected"), [("ImageNet", IMAGENET), ("CIFAR-10", CIFAR)])
def test_scores_and_mean_flip_rates(dataset, expected):
    scores = archived_scores(dataset)
    assert set(scores.index) == set(expected)
    errors = [c for c in scores if "_top" in c and not c.startswith("validation")]
    for network, (*printed, mfr) in expected.items():
        assert close(scores.loc[network, errors].astype(float), printed, 2), network
        assert close(scores.loc[network, "mfr"], mfr, 1), network
    assert scores.loc[REFERENCE[dataset], "mfr"] == 100


def test_sizes():
    wcnn = published_table("wcnn").query("dataset == 'ImageNet'").set_index("network")
    assert {name: wcnn.loc[name, "parameters"] for name in PARAMETERS} == PARAMETERS


def test_divergence_by_shift():
    divergence = archived_shifts("ImageNet").divergence.sel(direction="horizontal")
    for network, printed in DIVERGENCE.items():
        assert close(divergence.sel(network=network, t=[0.5, 1, 2, 4, 8]), printed, 4), network
    assert (divergence.sel(t=0) == 0).all()


def test_validation_errors():
    errors = validation_errors("ImageNet")
    for network, printed in VALIDATION.items():
        assert close(errors.loc[list(EPOCHS), network], printed, 2), network
    assert len(errors) == 90 and len(validation_errors("CIFAR-10")) == 300
    best = published_table("wcnn").query("dataset == 'ImageNet'").set_index("network").validation_top1
    assert (errors.min() - best).abs().max() < 0.01


def test_shifts():
    imagenet, cifar = archived_shifts("ImageNet"), archived_shifts("CIFAR-10")
    assert imagenet.flip_rate.dims == ("network", "direction", "distance")
    assert (imagenet.sizes["distance"], cifar.sizes["distance"]) == (8, 4)
    assert not imagenet.isnull().any().to_array().any() and not cifar.isnull().any().to_array().any()
    assert imagenet.flip_rate.sel(network="alexnet", direction="diagonal", distance=8) == 26.598
    assert imagenet.flip_rate.attrs["units"] == "%" and imagenet.t.attrs["units"] == "px"


def test_poster_is_what_the_archives_give():
    """Every digit that could be read, all fifteen mean flip rates of Fig. 9 among them, but for one error."""
    both = poster_beside_archive()
    assert len(both) == 15 * 5 + 18 * 3
    different = []
    for row in both.itertuples():
        nearest = {f"{row.archived + d:.1f}" for d in (-1e-6, 1e-6)}
        if not any(re.fullmatch(row.printed.replace(".", r"\.").replace("?", "[0-9]"), text) for text in nearest):
            different.append((row.network, row.score, row.printed))
    assert different == [("walexnet-cmod", "one_crop_top5", "21.3")]  # the archive has 21.232
    assert both.value.isna().sum() == both.printed.str.contains("?", regex=False).sum() == 31


def test_corrupted_and_perturbed_pictures():
    relative = archived_corruptions()
    assert (relative.loc["alexnet"] == 100).all() and relative.notna().all(axis=None)
    mce = {"walexnet-rmax": 101.7, "walexnet-cmod": 101.6, "resnet34": 78.9, "resnet34-ablur": 77.0}
    assert relative.mce.round(1)[list(mce)].to_dict() == mce
    cmod = relative.loc["walexnet-cmod"].filter(like=" sequence").round(1)
    found = {"translate": 67.5, "motion_blur": 119.9, "snow": 130.7, "zoom_blur": 116.9}
    assert {kind: cmod[f"{kind} sequence"] for kind in found} == found
    assert relative.mfr_p["walexnet-cmod"] == pytest.approx(cmod.mean(), abs=0.05)
    errors = published_table("wcnn_corruptions").set_index(["network", "corruption"])
    snow = errors.loc[("resnet34", "snow")].sum() / errors.loc[("alexnet", "snow")].sum()
    assert relative.snow["resnet34"] == pytest.approx(100 * snow)


def test_tables_are_those_of_the_archive():
    archive = {}
    for name in ("wcnn_results", "wcnn_poster_blur"):
        path = DATA / "wcnn_results" / f"{name}.json"
        if not path.is_file():
            pytest.skip("needs the archived results (set SHIFTSCOPE_DATA)")
        archive |= json.loads(path.read_text())
    made = published_tables.tables(archive)
    for name, table in made.items():
        kept = (files("analysis.published") / f"{name}.csv").read_text()
        assert table.to_csv(index=False, lineterminator="\n") == kept, name


@pytest.mark.parametrize("key", ["X", "AI_mad", "R50I", "AwyIC"])
def test_unknown_archive_names(key):
    with pytest.raises(ValueError, match=f"unknown network '{key}'"):
        published_tables.network_of(key)


def test_names_say_what_networks_are():
    assert parts_of("wresnet34-rmax-ablur-ablated") == {
        "family": "ResNet-34",
        "twin": "RMax",
        "pooling": "ABlur",
        "ablated": True,
    }
    assert parts_of("resnet18-blur") == {
        "family": "ResNet-18",
        "twin": "standard",
        "pooling": "Blur",
        "ablated": False,
    }


def test_filters_of_the_blurpool_paper_have_the_printed_weights():
    table = published_table("blurpool").set_index("network")
    assert len(table) == 19
    for row in table.itertuples():
        weights = np.array(row.weights.split(), float)
        assert len(weights) == row.taps
        if row.filter == "Rectangle":
            assert (weights == 1).all()
        elif row.filter == "Triangle":
            assert (weights == np.bartlett(row.taps + 2)[1:-1] * (row.taps + 1) / 2).all()
        elif row.filter == "Binomial":
            assert (weights == np.rint(np.poly(-np.ones(row.taps - 1)))).all()
        elif row.filter == "Window":
            taps = signal.firwin(row.taps, 0.5, window="boxcar")
            np.testing.assert_allclose(weights / weights.sum(), taps, atol=0.002)
    assert table.loc["vgg13-triangle5", "consistency"] == 98.2
    accuracies = table.filter(regex="accuracy|consistency")
    assert accuracies.shape == (19, 6) and accuracies.min().min() == 87.4 and accuracies.max().max() == 99.0
    assert published_table("blurpool_time").added.tolist() == [0, 3.04, 8.52, 10.6, 12.3]


def test_tables_of_the_sound_study():
    sound = published_table("sound")
    assert sound.table.value_counts().to_dict() == {"I": 22, "II": 12}
    first, second = (sound[sound.table == t].set_index(["network", "mixup", "method"]) for t in ("I", "II"))
    both = first.join(second, how="inner", rsuffix="_again")
    assert len(both) == 4 and (both.mean_ap == both.mean_ap_again).all()
    assert sound.mean_ap.max() == 0.541 == sound.loc[sound.d_prime.idxmax(), "mean_ap"]
    systems = published_table("sound_systems").set_index("method")
    for row in ("APS l1", "TLPF 5x5 + IBP", "TLPF 5x5 + APS l1"):
        for column in ("mean_ap", "d_prime"):
            assert systems.loc[f"VGG42 + {row}", column] == second.loc[("vgg42", "yes", row), column]
    shifts = published_table("sound_shifts").set_index("protocol")
    assert (shifts.consistency_proposed > shifts.consistency_baseline).all()
    assert (shifts.mac_proposed < shifts.mac_baseline).all()
    assert shifts.loc["freq-5"].tolist() == [49.0, 60.0, 0.263, 0.199]


def test_every_table_is_there_with_its_licence():
    folder = files("analysis.published")
    assert {f"{name}.csv" for name in TABLES} == {f.name for f in folder.iterdir() if f.name.endswith(".csv")}
    notice = (folder / "NOTICE").read_text()
    assert all(f"{name}.csv" in notice for name in TABLES)
    assert (
        "cd6907534bf0ed6fb732f9f2cfdecdf7e01f9cf3" in notice
        and "98c8bb2" in notice
        and "Copyright 2023 Hubert Leterme" in notice
    )
    assert "Version 2.0, January 2004" in (folder / "LICENSE-Apache-2.0.txt").read_text()
    assert sum(len(f.read_bytes()) for f in folder.iterdir() if f.is_file()) < 180_000
    assert all(isinstance(published_table(name), pd.DataFrame) for name in TABLES)


@pytest.mark.parametrize("function", [archived_shifts, validation_errors, archived_scores])
def test_unknown_data_set(function):
    with pytest.raises(ValueError, match="no results on 'MNIST'; expected one of ImageNet, CIFAR-10"):
        function("MNIST")


def test_unknown_table():
    with pytest.raises(ValueError, match="no table 'imagenet'; expected one of wcnn"):
        published_table("imagenet")
