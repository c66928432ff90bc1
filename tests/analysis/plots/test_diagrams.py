"""Block diagrams say what the code has."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from analysis import networks  # noqa: E402
from analysis.networks.twins import packet_groups, walexnet, wresnet  # noqa: E402
from analysis.plots import operators_diagram, twin_diagram  # noqa: E402
from scripts.document_pictures import numbers  # noqa: E402


def texts(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    ("name", "layer", "groups"),
    [
        ("walexnet-cmod", walexnet.LAYER, packet_groups.alexnet_groups()),
        ("wresnet18-cmod", wresnet.LAYER, packet_groups.resnet_groups()),
    ],
)
def test_numbers_are_those_of_the_network(name, layer, groups):
    twin = numbers(name, layer, list(groups))
    block = networks.create(name).stage.block
    assert twin.gabor == block.outputs and twin.free + twin.gabor == 64
    assert twin.kept == {3: 94, 2: 16}[twin.levels]
    shown = " | ".join(texts(twin_diagram(twin)))
    for part in (f"{twin.kept} of {2 * 4**twin.levels} kept", f"{twin.kernel}×{twin.kernel}, stride {twin.stride}",
                 f"modulus, stride {2 * twin.stride}", f"{twin.free} + {twin.gabor} channels"):  # fmt: skip
        assert part in shown
    assert ("batch norm" in shown) == twin.normalised


def test_boxes_do_not_overlap_and_hold_their_text():
    figure = operators_diagram(stride=2)
    assert any("2m$ = 4 pixels" in text for text in texts(figure))
    twins = ((walexnet, packet_groups.alexnet_groups()), (wresnet, packet_groups.resnet_groups()))
    for drawn in (figure, *(twin_diagram(numbers("W", module.LAYER, list(groups))) for module, groups in twins)):
        drawn.draw_without_rendering()
        ax = drawn.axes[0]
        boxes = sorted({patch.get_window_extent().bounds for patch in ax.patches if hasattr(patch, "get_boxstyle")})
        for n, (x, y, w, h) in enumerate(boxes):
            for x2, y2, w2, h2 in boxes[n + 1 :]:
                assert x + w <= x2 + 1 or x2 + w2 <= x + 1 or y + h <= y2 + 1 or y2 + h2 <= y + 1
        for text in ax.texts:
            if not text.get_text() or text.get_ha() != "center":
                continue
            inner = text.get_window_extent()
            assert any(x <= inner.x0 and inner.x1 <= x + w for x, _, w, _ in boxes), text.get_text()
