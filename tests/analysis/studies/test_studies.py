"""Studies: their runs, what becomes of claims, and a small one from start to end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

torch = pytest.importorskip("torch")

from analysis import networks  # noqa: E402
from analysis.networks.training.recipe import recipe  # noqa: E402
from analysis.plots import study_figure  # noqa: E402
from analysis.studies import STUDIES, Claim, Run, Study, effects, images, run_study, study_named, summary, verdicts  # noqa: E402
from analysis.studies.execute import read_rows, write_tables  # noqa: E402
from analysis.studies.images import BLURPOOL, TWINS, with_mean_flip_rate  # noqa: E402
from analysis.studies.sound import SOUND, sound_metrics, whole  # noqa: E402
from analysis.studies.summary import interval  # noqa: E402


@pytest.fixture
def arrays(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    path = tmp_path / "pictures.npz"
    np.savez(path, train_x=x[:40], train_y=np.arange(40) % 3, test_x=x[40:], test_y=np.arange(20) % 3)
    return path


def tiny_runs(scale, seeds):
    chosen = replace(recipe("vgg13-cifar10"), classes=3, epochs=1 if scale == "small" else 2, batch=20, milestones=())
    names = {"max": "vgg13", "triangle3": "vgg13-triangle3"}
    return [Run({"filter": f}, n, chosen, seed, {"width": 0.03}) for seed in seeds for f, n in names.items()]


def counted(model, data):
    counted.calls += 1
    return {"score": sum(p.detach().double().abs().sum().item() for p in model.parameters())}


@pytest.fixture
def tiny():
    counted.calls = 0
    return Study(
        name="tiny",
        title="no document",
        data="arrays",
        factors=("filter",),
        metrics={"score": "score"},
        runs=tiny_runs,
        measure=counted,
        claims=(Claim("More.", "score", {"filter": "triangle3"}, {"filter": "max"}, 1),),
        published=lambda: pd.DataFrame({"filter": ["max"], "score": [3.0]}),
        costs={"small": "nothing"},
    )


def test_a_study_that_is_stopped_goes_on_to_the_same_tables(tiny, arrays, tmp_path):
    whole_run = run_study(tiny, arrays, tmp_path / "a", seeds=[0, 1], progress=False)
    assert counted.calls == len(whole_run) == 4
    first = run_study(tiny, arrays, tmp_path / "b", seeds=[0, 1], only=lambda run: run.seed == 1, progress=False)
    assert first.seed.tolist() == [1, 1] and counted.calls == 6

    def stopped(model, data):  # behind a training, before its row
        if counted.calls == 7:
            raise KeyboardInterrupt
        return counted(model, data)

    with pytest.raises(KeyboardInterrupt):
        run_study(replace(tiny, measure=stopped), arrays, tmp_path / "b", seeds=[0, 1], progress=False)
    assert len(pd.read_csv(tmp_path / "b" / "runs.csv")) == 3
    again = run_study(tiny, arrays, tmp_path / "b", seeds=[0, 1], progress=False)
    assert counted.calls == 8, "what was there is not trained again"
    columns = ["run", "filter", "seed", "score", "epochs", "settings"]
    pd.testing.assert_frame_equal(
        whole_run[columns].sort_values("run", ignore_index=True), again[columns].sort_values("run", ignore_index=True)
    )
    table = pd.read_csv(tmp_path / "b" / "summary.csv")
    assert table.seeds.tolist() == [2, 2] and table.parts.tolist() == [1, 1] and table.score_published.tolist()[0] == 3
    assert len(pd.read_csv(tmp_path / "b" / "claims.csv")) == 1
    with pytest.raises(ValueError, match="max_seed0"):
        run_study(tiny, arrays, tmp_path / "a", scale="published", seeds=[0], progress=False)


def test_a_table_that_is_read_and_written_again_has_the_same_digits(tiny, tmp_path):
    values = 100 * np.random.default_rng(0).random(200)  # the fast way to read numbers loses the last digit of some
    rows = [{"run": f"r{n}", "filter": "max", "seed": n, "part": "", "score": v, "settings": "x"} for n, v in
            enumerate(values)]  # fmt: skip
    write_tables(tiny, tmp_path, pd.DataFrame(rows))
    assert [row["score"] for row in read_rows(tmp_path / "runs.csv").values()] == values.tolist()


def test_refusals(tiny, arrays, tmp_path):
    with pytest.raises(ValueError, match="medium"):
        run_study(tiny, arrays, tmp_path, scale="medium")
    with pytest.raises(ValueError, match="max, triangle3"):
        run_study(tiny, arrays, tmp_path, only=lambda run: False)
    with pytest.raises(ValueError, match="blurpool"):
        study_named("blurpol")
    with pytest.raises(OSError, match="nowhere"):
        run_study(tiny, tmp_path / "nowhere.npz", tmp_path / "out", progress=False)


def test_intervals_and_verdicts(tiny):
    values = [1.0, 2.0, 4.0]
    mean, half = interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))

    def said(differences):
        seeds = range(len(differences))
        rows = [{"filter": "max", "seed": s, "score": 10.0 * s} for s in seeds]
        rows += [
            {"filter": "triangle3", "seed": s, "score": 10.0 * s + d} for s, d in zip(seeds, differences, strict=True)
        ]
        (row,) = verdicts(tiny, pd.DataFrame(rows)).itertuples()
        assert row.effect == pytest.approx(np.mean(differences)) and row.seeds == len(differences)
        return row.verdict

    assert said([1.0, 1.1, 1.2]) == "holds"  # paired: the seeds differ by tens
    assert said([-1.0, -1.1, -1.2]) == "does not hold"
    assert said([1.0, -1.0, 0.5]) == said([5.0]) == "undecided here"


def test_parts_are_averaged_before_seeds_are_counted(tiny):
    rows = [{"filter": "max", "seed": s, "part": p, "score": s + p} for s in (0, 1) for p in (0.0, 10.0)]
    (row,) = summary(tiny, pd.DataFrame(rows)).itertuples()
    assert row.seeds == 2 and row.score == pytest.approx(5.5)
    assert row.score_interval == pytest.approx(interval([5.0, 6.0])[1])


def test_rows_stand_in_the_study_s_order_however_they_were_run(tiny):
    levels = list(dict.fromkeys(run.factors["filter"] for run in tiny.runs("small", [0])))
    rows = [{"filter": level, "seed": 0, "score": 1.0} for level in ("no longer listed", *reversed(levels))]
    assert summary(tiny, pd.DataFrame(rows))["filter"].tolist() == [*levels, "no longer listed"]


def test_effects_of_every_level_are_the_paired_differences(tiny):
    rows = [
        {"filter": f, "seed": s, "score": 10.0 * s + d} for s in (0, 1) for f, d in (("max", 0), ("a", 1 + s), ("b", 5))
    ]
    found = effects(tiny, pd.DataFrame(rows), "score", {"filter": "max"}).set_index("filter")
    assert found.effect.to_dict() == pytest.approx({"a": 1.5, "b": 5.0})
    assert found.interval.to_dict() == pytest.approx({"a": interval([1.0, 2.0])[1], "b": 0.0})
    assert set(found.over) == {"2 seeds"}


def test_published_scales_are_those_of_the_documents():
    assert {run.options.get("filters") for run in STUDIES["twins"].runs("published", [0]) if "CMod" in run.name} == {
        "qshift_a"
    }
    assert {run.hold_out for run in STUDIES["twins"].runs("published", [0])} == {"first"}
    for name in ("blurpool", "twins", "sound"):
        printed = STUDIES[name].published()[list(STUDIES[name].factors)].drop_duplicates()
        runs = pd.DataFrame([run.factors for run in STUDIES[name].runs("published", [0])])
        assert len(runs.merge(printed)) == len(printed) == len(runs)


def test_one_seed_alone_has_its_interval_over_parts(tiny):
    rows = [
        {"filter": name, "seed": 0, "part": part, "score": 10.0 * number + effect * (1 + number / 10)}
        for number, part in enumerate(("fold1", "fold2", "fold3"))
        for name, effect in (("max", 0.0), ("triangle3", 2.0))
    ]
    whole_table = pd.DataFrame(rows)
    (row,) = verdicts(tiny, whole_table).itertuples()
    assert (row.effect, row.interval) == pytest.approx(interval([2.0, 2.2, 2.4]))
    assert row.verdict == "holds" and row.seeds == 1 and row.over == "3 parts of 1 seed"
    (less,) = verdicts(tiny, whole_table.iloc[:-1]).itertuples()  # a part that only one of the two has does not count
    assert (less.effect, less.interval) == pytest.approx(interval([2.0, 2.2]))


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_runs_and_claims_of_every_study(study):
    names = set(networks.list())
    for scale in ("small", "published"):
        runs = study.runs(scale, [0, 1])
        assert len({run.name for run in runs}) == len(runs) and len({run.digest() for run in runs}) == len(runs)
        assert all(run.network in names and tuple(run.factors) == tuple(study.factors) for run in runs)
        there = [run.factors for run in runs]
        for claim in study.claims:
            assert claim.metric in study.metrics
            for levels in (claim.of, claim.than):
                assert any(levels.items() <= factors.items() for factors in there), (claim, levels)
    published = study.published()
    assert not published.duplicated(list(study.factors)).any()
    assert set(published) - set(study.factors) <= set(study.metrics)
    printed = verdicts(study, pd.DataFrame(columns=["seed"])).published.dropna()
    assert len(printed), "at least one claim is about printed numbers"


def test_published_effects():
    effects = verdicts(BLURPOOL, pd.DataFrame()).set_index("claim").published
    assert effects["A filter raises consistency."] == pytest.approx(96.3 - 88.1)
    assert effects["A filter helps consistency on top of such training."] == pytest.approx(98.8 - 96.6)
    assert verdicts(TWINS, pd.DataFrame()).published.iloc[0] == pytest.approx(88.8 - 100, abs=0.05)
    effects = verdicts(SOUND, pd.DataFrame()).set_index("claim").published
    assert effects["BlurPool raises mAP."] == pytest.approx(0.019)
    assert effects["Filter and APS are more consistent under shifts in time."] == pytest.approx(92.5 - 82.0)
    assert effects["And under shifts in frequency."] == pytest.approx(79.8 - 63.5)
    assert effects["Their answers change less."] == pytest.approx(0.030 - 0.078)


def test_mean_flip_rate_is_relative_to_the_plain_network_of_the_same_seed():
    rows = [
        {"family": "ResNet-18", "twin": twin, "pooling": "max", "seed": seed,
         "flips_horizontal": f * scale, "flips_vertical": 2 * f * scale, "flips_diagonal": 4 * f}
        for seed, scale in ((0, 1.0), (1, 3.0))
        for twin, f in (("standard", 2.0), ("CMod", 1.0))
    ]  # fmt: skip
    assert with_mean_flip_rate(pd.DataFrame(rows)).mfr.tolist() == [100, 50, 100, 50]


def test_pictures_are_measured(arrays, monkeypatch):
    monkeypatch.setattr(images, "MAPPED", 1)
    from analysis.networks.training.data import load_data

    run = BLURPOOL.runs("small", [0])[1]
    data = load_data(arrays, replace(run.recipe, classes=3), progress=False)
    model = networks.create(run.network, classes=3, width=0.03, padding_mode="circular").eval()
    found = BLURPOOL.measure(model, data)
    derived = BLURPOOL.derive(pd.DataFrame([found]))
    assert set(derived) == set(BLURPOOL.metrics) and 0 <= found["consistency"] <= 100
    found = TWINS.measure(model, data)
    assert set(TWINS.metrics) - {"mfr"} <= set(found)
    assert found["error"] == pytest.approx(100 * np.mean(_answers(model, data) != np.arange(20) % 3))


def _answers(model, data):
    with torch.no_grad():
        x = torch.from_numpy(data.test.inputs[data.test.rows]).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(v)[:, None, None] for v in (data.mean, data.std))
        return model((x - mean) / std).argmax(1).numpy()


def test_recordings_are_measured_whole():
    from analysis.networks.training.data import Data, Examples

    rng = np.random.default_rng(0)
    recordings = rng.normal(size=(4, 251, 12)).astype(np.float16)
    patches = np.stack([r[s : s + 101] for r in recordings for s in range(0, 151, 50)])
    examples = Examples(patches, np.repeat(np.arange(4) % 2, 4), np.repeat(np.arange(4), 4))
    for found, expected in zip(whole(examples), recordings, strict=True):
        assert np.array_equal(found[0, 0].numpy(), expected.astype(np.float32))
    model = networks.create("vgg41-aps-l1", classes=2, width=0.1).eval()
    found = sound_metrics(model, Data(examples, examples, examples, (0.0,), (1.0,)))
    assert set(found) == set(SOUND.metrics) and found["accuracy"] in (0, 25, 50, 75, 100)


def test_one_patch_of_each_recording():
    from analysis.networks.training.data import Examples, epoch_examples

    examples = Examples(np.zeros((12, 2, 2), np.float32), np.zeros(12, np.int64), np.repeat(np.arange(3), 4))
    chosen = replace(recipe("vgg41-esc10"), one_patch=True)
    orders = [epoch_examples(examples, chosen, 0, epoch) for epoch in range(40)]
    assert all(sorted(order // 4) == [0, 1, 2] for order in orders)
    assert {int(row) for order in orders for row in order} == set(range(12))
    assert len({tuple(order // 4) for order in orders}) == 6, "in any order"
    with pytest.raises(ValueError, match="train_clip"):
        epoch_examples(Examples(examples.inputs, examples.targets), chosen, 0, 0)
    with pytest.raises(ValueError, match="pictures"):
        recipe("vgg13-cifar10", one_patch=True)


def test_figure():
    table = pd.DataFrame({"filter": ["a", "b"], "score": [1.0, 2.0], "score_interval": [0.1, np.nan],
                          "score_published": [3.0, np.nan]})  # fmt: skip
    figure = study_figure(table, ["filter"], {"score": "score (%)"})
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b"]
