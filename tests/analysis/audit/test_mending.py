"""What mending pays: the order of places against brute force on a network that is written out, and its report."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from analysis.audit import NetworkAudit, mending_order  # noqa: E402
from analysis.audit import mending as mending_module  # noqa: E402
from analysis.audit.blame import Network  # noqa: E402
from analysis.audit.mending import mending_passes, placewise  # noqa: E402
from analysis.audit.verdict import mending_frame  # noqa: E402
from analysis.networks.loading import LoadedNetwork, apply_remedy  # noqa: E402
from analysis.reports.audit import audit_report  # noqa: E402
from analysis.reports.stored import stored_report  # noqa: E402

SIDE, NAMES = 16, ["first", "pool", "last"]


class Tiny(nn.Module):
    """Three places on circular maps, and a head whose answer is not smooth in them."""

    def __init__(self, mode="circular"):
        super().__init__()
        torch.manual_seed(4)
        self.first = nn.Conv2d(3, 6, 3, 2, 1, padding_mode=mode)
        self.pool = nn.MaxPool2d(2)
        self.last = nn.Conv2d(6, 8, 3, 2, 1, padding_mode=mode)
        self.end = nn.Conv2d(8, 8, 2)
        self.linear = nn.Linear(8, 4)

    def forward(self, x):
        x = self.pool(self.first(x).relu())
        return self.linear(self.end(self.last(x).relu()).relu().flatten(1))


def images(count=10):
    return [np.random.default_rng(seed).random((SIDE, SIDE, 3)).astype(np.float32) for seed in range(count)]


def changes(model, shifts, own=False):
    """Squared change of each picture under shifts: rolled, or windows of pictures that go on mirrored."""
    x, total = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images()]), 0.0
    with torch.no_grad():
        for down, right in shifts:
            if own:
                large = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
                moved = large[:, :, 2 - down : 2 - down + SIDE, 2 - right : 2 - right + SIDE]
            else:
                moved = torch.roll(x, (down, right), (2, 3))
            difference = (model(moved) - model(x)).double()
            total = total + (difference - difference.mean(1, keepdim=True)).square().sum(1)
    return total


def brute_force(model, remedy, shifts, own=False):
    """Share of the change that is gone with every candidate at every step, and the order that this makes."""
    left, mended, steps, example = list(NAMES), [], [], torch.zeros(1, 3, SIDE, SIDE)
    borders = {} if own else {"padding_mode": "circular"}
    plain = changes(model, shifts, own)
    while left:
        models = {n: placewise(remedy)(model, example, names=[*mended, n], **borders)[0].eval() for n in left}
        after = {name: changes(one, shifts, own) for name, one in models.items()}
        steps.append({name: float(1 - value.sum() / plain.sum()) for name, value in after.items()})
        mended.append(min(left, key=lambda name: float(after[name].sum())))
        left.remove(mended[-1])
    return mended, steps


@pytest.mark.parametrize("remedy", ["blur3", "ideal", "aps-l2"])
def test_order_and_gains_are_those_of_brute_force(remedy):
    model, shifts = Tiny().eval(), [(0, 1), (2, 0)]
    order, steps = brute_force(model, remedy, shifts)
    found = mending_order(NetworkAudit(model, SIDE, shifts=shifts), images(), remedy, progress=False)
    assert found.mend_place.values[0].tolist() == order
    for k, step in enumerate(steps):
        measured = found.mend_gone_with.sel(remedy=remedy, step=k + 1)
        assert {name: float(measured.sel(place=name)) for name in step} == pytest.approx(step, abs=1e-4)
        assert np.isnan(measured.sel(place=[*order[:k], "head"])).all()
        assert found.mend_gone.values[0, k] == pytest.approx(step[order[k]], abs=1e-4)
    assert np.allclose(found.mend_gain.cumsum("step"), found.mend_gone, atol=1e-12)


@pytest.mark.parametrize("remedy", ["blur3", "aps-l2", "tlpf"])
def test_with_circular_borders_shifts_by_all_strides_change_nothing_after_mending(remedy):
    torch.manual_seed(3)
    first, last = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)  # zeros, which the audit makes circular
    model = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), last, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    audit = NetworkAudit(model.eval(), 32, shifts=[(0, 1), (8, 0)])
    mended = mending_module._mended(audit, placewise(remedy), ["0", "2", "3"])
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        still, moved = (mended.plain(y, True) for y in (x, x.roll((8, 16), (2, 3))))
    torch.testing.assert_close(moved, still, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (6, 2, 2), (5, 4, 1), ((2, 4), 2, (0, 1))])
@pytest.mark.parametrize("remedy", ["blur3", "aps-l2"])
@pytest.mark.parametrize("inside", [False, True])
def test_kernels_whose_padding_is_one_sided_at_stride_1_keep_the_period(kernel, stride, padding, remedy, inside):
    torch.manual_seed(3)
    strided = nn.Conv2d(4 if inside else 3, 4, kernel, stride, padding)
    before = (nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU()) if inside else ()
    model = nn.Sequential(*before, strided, nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    audit = NetworkAudit(nn.Sequential(model, nn.Flatten()).eval(), 32, shifts=[(0, 1)])
    (name,) = [place.name for place in audit.network.places]
    mended, x = mending_module._mended(audit, placewise(remedy), [name]), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        still, moved, one = (mended.plain(y, True) for y in (x, x.roll((4, 8), (2, 3)), x.roll(1, 3)))
    torch.testing.assert_close(moved, still, rtol=1e-5, atol=1e-6)
    assert remedy == "blur3" or torch.allclose(one, still, rtol=1e-5, atol=1e-6)


def test_a_mended_place_that_loses_its_period_is_not_measured():
    torch.manual_seed(3)
    beside, odd = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, 2)), nn.Conv2d(4, 4, 3, 2, 1)
    end = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model = nn.Sequential(beside, nn.ReLU(), odd, *end).eval()
    pictures = [np.random.default_rng(seed).random((32, 32, 3)).astype(np.float32) for seed in range(4)]
    found = mending_order(NetworkAudit(model, 32, shifts=[(0, 1)]), pictures, progress=False)
    assert "period" in str(found.mend_unreached.sel(place="0.1").values)
    assert found.mend_place.values[0, 0] == "2" and np.isnan(found.mend_gone.values[0, 1])


def test_a_function_that_no_remedy_reaches_is_told_as_one():
    class Shrinking(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool, self.linear = nn.MaxPool2d(2), nn.Linear(3, 2)

        def forward(self, x):
            return self.linear(self.pool(nn.functional.interpolate(x, scale_factor=0.5)).mean((2, 3)))

    found = mending_order(NetworkAudit(Shrinking().eval(), SIDE, shifts=[(0, 1)]), images(4), progress=False)
    told = str(found.mend_unreached.sel(place="interpolate").values)
    assert "'interpolate'" in told and "Shrinking" in told and "has no layer" not in told


def test_borders_of_the_network_and_the_plain_one_stays():
    model, shifts = Tiny("zeros").eval(), [(1, -2)]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    order, steps = brute_force(model, "blur3", shifts, own=True)
    audit = NetworkAudit(model, SIDE, shifts=shifts, borders=["own"], symmetric=False)
    found = mending_order(audit, images(), progress=False)
    assert found.mend_place.values[0].tolist() == order
    assert found.mend_gone.values[0] == pytest.approx(
        [step[name] for step, name in zip(steps, order, strict=True)], 1e-3
    )
    assert model.state_dict().keys() == state.keys() and isinstance(model.pool, nn.MaxPool2d)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_errors_are_of_pairs_of_pictures():
    """Against the linearised error of the ratio: that of a gain is smaller than if the pictures were others."""
    model, shifts = Tiny().eval(), [(0, 1)]
    found = mending_order(NetworkAudit(model, SIDE, shifts=shifts), images(), "ideal", progress=False)
    order = found.mend_place.values[0].tolist()
    loaded, plain = LoadedNetwork("tiny", model, size=SIDE), changes(model, shifts)
    left = [changes(apply_remedy(loaded, f"ideal:{','.join(order[: k + 1])}")[0], shifts) for k in range(2)]

    def error(taken):
        share = taken.sum() / plain.sum()
        return float((taken - share * plain).square().sum().sqrt() / plain.sum())

    assert found.mend_gone_stderr.values[0, 0] == pytest.approx(error(plain - left[0]), rel=0.4)
    assert found.mend_gain_stderr.values[0, 1] == pytest.approx(error(left[0] - left[1]), rel=0.4)


def test_passes_are_those_that_were_said(monkeypatch):
    audit, run = NetworkAudit(Tiny().eval(), SIDE), []
    plain = Network.plain
    monkeypatch.setattr(Network, "plain", lambda self, x, c: (run.append(len(x) * (len(x) > 1)), plain(self, x, c))[1])
    mending_order(audit, images(), progress=False)
    assert sum(run) == mending_passes(audit, 10)


class Stubborn(Tiny):
    """A place that no filter reaches."""

    def forward(self, x):
        x = nn.functional.interpolate(self.pool(self.first(x).relu()), scale_factor=0.5)
        return self.linear(self.end(self.last(nn.functional.interpolate(x, scale_factor=2.0)).relu()).relu().flatten(1))


def test_places_that_a_remedy_does_not_reach_are_listed():
    found = mending_order(NetworkAudit(Stubborn().eval(), SIDE), images(), progress=False)
    reasons = dict(zip(found.place.values.tolist(), found.mend_unreached.values[0].tolist(), strict=True))
    assert reasons.pop("interpolate") and not any(reasons.values())
    places = found.mend_place.values[0].tolist()
    assert sorted(places[:3]) == sorted(NAMES) and places[3] == "" and np.isnan(found.mend_gone.values[0, 3])
    assert np.isnan(found.mend_gone_with.sel(place="interpolate")).all()


def test_shifts_that_change_nothing_leave_nothing_to_be_mended():
    still = mending_order(NetworkAudit(Tiny().eval(), SIDE, shifts=[(0, 16)]), images(3), progress=False)
    assert not any(still.mend_place.values.ravel()) and np.isnan(still.mend_gone).all()


@pytest.mark.parametrize(("name", "said"), [("cmod", "whole network"), ("blurr3", "did you mean 'blur3'")])
def test_remedies_of_whole_networks_are_refused(name, said):
    with pytest.raises(ValueError, match=said):
        mending_order(NetworkAudit(Tiny().eval(), SIDE), images(2), name, progress=False)


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    audit, whole = NetworkAudit(Tiny().eval(), SIDE), []
    measure = mending_module._Networks.measure

    def counted(self, pictures, names):
        if len(whole) == 3:
            raise KeyboardInterrupt
        whole.append(len(pictures))
        return measure(self, pictures, names)

    options = {"folder": tmp_path / "mending", "block": 5, "progress": False}
    monkeypatch.setattr(mending_module._Networks, "measure", counted)
    with pytest.raises(KeyboardInterrupt):
        mending_order(audit, images(), **options)
    again = []
    monkeypatch.setattr(
        mending_module._Networks, "measure", lambda self, x, n: (again.append(len(x)), measure(self, x, n))[1]
    )
    found = mending_order(audit, images(), **options)
    assert sum(whole) + sum(again) == 3 * 10  # each step has seen each picture once
    assert found.identical(mending_order(audit, images(), block=5, progress=False))
    again.clear()
    mending_order(audit, images(), **(options | {"overwrite": True}))
    assert sum(again) == 3 * 10


def test_report_says_and_keeps_what_mending_pays(tmp_path):
    pytest.importorskip("jinja2")
    options = {"shifts": [(0, 1)], "first_layer": False, "figures": False, "progress": False, "block": 5}
    report = audit_report(Tiny(), images(), tmp_path / "out", size=SIDE, mend=["blur3", "ideal"], **options)
    audit = report.datasets["audit"]
    frame = mending_frame(audit)
    assert (tmp_path / "out" / "mending.csv").is_file() and len(frame) == 6
    for remedy, rows in frame.groupby("remedy"):
        assert rows.step.tolist() == [1, 2, 3] and np.allclose(rows.gain.cumsum(), rows.gone)
        assert rows.gone.iloc[0] == rows.alone.max() == rows.alone.iloc[0]
        assert np.allclose(rows.blame, audit.blame.sel(place=rows.place.values))
        line = next(line for line in audit.verdict.splitlines() if remedy in line)
        assert rows.place.iloc[0] in line and f"{100 * rows.gone.iloc[0]:.0f} %" in line
    page = stored_report([tmp_path / "out" / "audit.nc"], tmp_path / "again.html", figures=False)
    assert all(text in page.read_text() for text in ("mending.csv", "ideal"))
    # without remedies the audit is as it was, from its journal
    fewer = audit_report(Tiny(), images(), tmp_path / "out", size=SIDE, mend=["blur3"], mend_limit=4, **options)
    part = mending_order(NetworkAudit(Tiny().eval(), SIDE, shifts=[(0, 1)]), images()[::3], progress=False)
    assert np.allclose(fewer.datasets["audit"].mend_gone, part.mend_gone, atol=1e-12)
    assert fewer.datasets["audit"].mending_images == 4 and "(4 pictures)" in fewer.datasets["audit"].verdict
    bare = audit_report(Tiny(), images(), tmp_path / "out", size=SIDE, **options).datasets["audit"]
    assert "mend_gone" not in bare and np.array_equal(bare.blame, audit.blame, equal_nan=True)
