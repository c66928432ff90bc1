"""Every network of the documents by its name."""

from __future__ import annotations

import re

import pytest

torch = pytest.importorskip("torch")

from analysis import networks  # noqa: E402
from analysis.networks import create, describe, network_registry  # noqa: E402
from analysis.networks.lowpass import TABLE  # noqa: E402
from analysis.networks.pooling import APS, TLPF, AdaptiveBlurPool, BlurPool, IntraBlockPool  # noqa: E402
from analysis.networks.published_networks import Entry, restored  # noqa: E402

NAMES = networks.list()


def made(name, **options):
    with torch.device("meta"):
        return create(name, **options)


def operators(name):
    kinds = (APS, TLPF, AdaptiveBlurPool, BlurPool, IntraBlockPool)
    return {type(module).__name__ for module in made(name).modules() if isinstance(module, kinds)}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_makes_a_network_and_says_what_it_is(name):
    if name.endswith("-qshift"):
        pytest.importorskip("dtcwt")
    model = made(name, classes=7)
    assert model.training
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    assert last.out_features == 7
    text = describe(name)
    assert text.endswith(".") and re.search("BlurPool paper|sound study|no table|poster", text)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-qshift")])
def test_twins_with_the_published_filters(name):
    published, own = create(name), create(name.removesuffix("-qshift"))
    assert published.stage.block.packets.bank.name == "qshift_a" != own.stage.block.packets.bank.name
    count = [sum(p.numel() for p in model.parameters()) for model in (published, own)]
    assert count[0] == count[1]


def test_the_rows_of_the_tables_are_there():
    filters = {f"{'blur' if f == 'binomial' else f}{n}" for f, sizes in TABLE.items() for n in sizes}
    assert len(filters) == 18
    wanted = {f"{base}-{f}" for base in ("vgg13", "densenet40") for f in filters}
    wanted |= {f"vgg13-{f}-before" for f in filters} | {
        "vgg13",
        "densenet40",
        "alexnet",
        "alexnet-blur",
        "alexnet-blur4",
    }
    wanted |= {f"resnet{n}{tail}" for n in (18, 34) for tail in ("", "-blur", "-blur4", "-ablur", "-cifar")}
    wanted |= {"resnet20-cifar", "resnet56-cifar"}
    sizes = [f"tlpf{size}" for size in ("3", "4", "5", "6", "1x4", "1x5", "1x6", "4x1", "5x1", "6x1")]
    tails = ["blur3", "blur5", "blur5-ibp", "aps-l1", "aps-l2", "aps-l1-ibp", "ibp", "tlpf5-aps-l1"]
    wanted |= {"vgg41", *(f"vgg41-{t}" for t in [*tails, *sizes, *(f"{s}-ibp" for s in sizes)])}
    wanted |= {"vgg42", "vgg42-aps-l1", "vgg42-tlpf5-ibp", "vgg42-tlpf5-aps-l1"}
    poster = [f"{twin}{blur}" for twin in ("rmax", "cmod") for blur in ("", "-blur", "-blur4", "-ablur", "-qshift")]
    poster += ["rmax-blur-ablated", "rmax-ablur-ablated", "rmax-blur-additive"]
    wanted |= {f"wresnet{n}-{p}" for n in (18, 34) for p in poster}
    wanted |= {f"walexnet-{p}" for p in ("rmax", "cmod", "rmax-blur", "cmod-blur", "rmax-blur4", "cmod-blur4")}
    wanted |= {"walexnet-rmax-qshift", "walexnet-cmod-qshift"}
    assert wanted == set(NAMES)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("alexnet", set()),
        ("alexnet-blur", {"BlurPool"}),
        ("resnet18-ablur", {"AdaptiveBlurPool"}),
        ("vgg13-window7", {"BlurPool"}),
        ("vgg41-tlpf5x1-ibp", {"TLPF", "IntraBlockPool"}),
        ("vgg42-tlpf5-aps-l1", {"TLPF", "APS"}),
        ("vgg41-ibp", {"IntraBlockPool"}),
    ],
)
def test_operators(name, found):
    assert operators(name) == found


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("resnet34-ablur", ["26.1/8.3", "23.5/7.0", "60.8", "16.3", "12.8", "91.9"]),
        ("alexnet", ["45.3/22.2", "41.3/19.3", "100.0"]),
        ("alexnet-blur4", ["4-tap", "Fig. 9", "44.8/22.0", "58.1"]),
        ("alexnet-blur", ["3-tap", "records", "44.37/21.56", "63.8"]),
        ("wresnet34-cmod-blur4", ["4-tap", "26.6/8.6", "61.5"]),
        ("walexnet-cmod-qshift", ["qshift_a", "44.3/21.3", "88.0"]),
        ("vgg13-blur5", ["93.2 92.6 96.3", "93.1 93.2 98.4"]),
        ("vgg41-tlpf5-aps-l1", [".484±.002", ".514±.003"]),
        ("vgg41-tlpf6x1-ibp", [".472±.002", "6×1"]),
        ("vgg42", [".523±.002"]),
    ],
)
def test_published_numbers(name, numbers):
    assert all(number in describe(name) for number in numbers)


def test_options_reach_the_network():
    assert made("alexnet", dropout=0.2).classifier[0].p == 0.2
    convolutions = [m for m in made("vgg13-blur5").modules() if hasattr(m, "padding_mode")]
    assert {m.padding_mode for m in convolutions} == {"circular"}
    convolutions = [m for m in made("vgg13", padding_mode="zeros").modules() if hasattr(m, "padding_mode")]
    assert {m.padding_mode for m in convolutions} == {"zeros"}
    model = made("vgg41", pooling="tlpf1x6")
    assert [m.size for m in model.modules() if isinstance(m, TLPF)] == [(1, 6)] * 3
    with pytest.raises(TypeError, match="colour"):
        create("alexnet", colour=3)


def test_other_modules_add_tables(monkeypatch):
    def table():
        yield Entry("one", torch.nn.Identity, lambda: "Nothing.")

    monkeypatch.setattr(network_registry, "TABLES", (*network_registry.TABLES, table))
    assert networks.list() == (*NAMES, "one")
    assert isinstance(create("one"), torch.nn.Identity) and describe("one") == "Nothing."


@pytest.mark.parametrize("ask", [create, describe])
def test_unknown_names(ask):
    with pytest.raises(ValueError, match=r"'alexnet-blurr'.*'alexnet-blur'"):
        ask("alexnet-blurr")
    with pytest.raises(ValueError, match=rf"'zzz'; expected one of alexnet, .* \({len(NAMES)} in all\)"):
        ask("zzz")


def test_descriptions_print_every_number_of_the_tables():
    from analysis import published_table

    poster = published_table("poster").set_index(["dataset", "network"]).stack()
    texts = {name: describe(name) for name in {name for _, name, _ in poster.index}}
    for (_, name, score), printed in poster.items():
        assert "?" in printed or printed in texts[name], (name, score)
    blurpool = published_table("blurpool").set_index("network")
    for name, row in blurpool.iterrows():
        text = describe(name)
        assert f"{row.accuracy} " in text and f"{row.consistency} " in text
    scores = " ".join(describe(name) for name in NAMES if name.startswith("vgg4"))
    for row in published_table("sound").itertuples():
        assert f"{row.mean_ap:.3f}"[1:] in scores, row


@pytest.mark.parametrize(
    ("printed", "archived", "expected"),
    [
        ("?0.8", 40.79, "40.8"),
        ("?1.1", 40.746, "41.1"),
        ("92.?", 92.41, "92.4"),
        ("??.?", 12.35, "12.4"),
        ("7.0", 9.0, "7.0"),
    ],
)
def test_digits_that_print_has_lost_come_from_the_records(printed, archived, expected):
    assert restored(printed, archived) == expected


def test_parameters_of_all_archived_networks():
    """The 41 networks whose parameters their authors counted."""
    from analysis import published_table

    archive = published_table("wcnn")
    assert len(archive) == 41
    for row in archive.itertuples():
        assert sum(p.numel() for p in made(row.network, classes=row.classes).parameters()) == row.parameters, (
            row.network
        )
