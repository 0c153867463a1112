"""A warm start on a new encoder: the output stays what it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.core.examples import SPEC, rows
from training.learn.fit import fit
from training.learn.warm_start import rebase
from worker.core.events.columns import Columns, objects
from worker.core.events.spec import FeatureSpec
from worker.core.model.autoencoder import Autoencoder
from worker.core.model.detector import Detector
from worker.core.model.encoder import Encoder
from worker.core.model.kinds import KINDS
from worker.core.model.scaling import Scaling
from worker.core.model.vocabulary import Vocabulary


def shift(count: int, seed: int) -> Columns:
    columns = rows(count, seed)
    columns.values[0][:] += 3.0
    return columns


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_new_encoder_is_folded_in_so_that_the_output_stays(kind: str) -> None:
    """Numbers come out the same in original units, categories with the same logits, a new one with those of `other`."""
    champion = fit(SPEC, rows(600), kind=kind, seed=0).detector()
    moved = shift(600, 4)
    moved.values[2][moved.values[2] == "z"] = "brand new"
    encoder = Encoder.fit(SPEC, moved, champion.encoder)
    network = rebase(champion, encoder, torch.Generator().manual_seed(0))
    block = rows(200, seed=6)
    # A clipped value, or one that only one encoder knows by name, is not the same input to both.
    same = ~champion.encoder.transform(block).out_of_range.any(1) & ~encoder.transform(block).out_of_range.any(1)
    block = block.take(np.flatnonzero(same & np.isin(block.values[2], ["x", "y", "w"])))
    with torch.inference_mode():
        old = champion.network(torch.from_numpy(champion.encoder.transform(block).x))
        new = network(torch.from_numpy(encoder.transform(block).x))
    for i in range(2):
        before, after = champion.encoder.transforms[i], encoder.transforms[i]
        assert isinstance(before, Scaling) and isinstance(after, Scaling)
        assert (new[:, i] * after.spread + after.centre).numpy() == pytest.approx(
            (old[:, i] * before.spread + before.centre).numpy(), rel=1e-3, abs=1e-3
        )
    words, then = encoder.transforms[2], champion.encoder.transforms[2]
    assert isinstance(words, Vocabulary) and isinstance(then, Vocabulary)
    first_old, first_new = (of.first_logit(of.categorical[0]) for of in (champion.encoder.layout, encoder.layout))
    for level, text in enumerate(words.top):
        source = then.top.index(text) if text in then.top else len(then.top)
        assert new[:, first_new + level].numpy() == pytest.approx(old[:, first_old + source].numpy(), abs=1e-3)
    assert "brand new" in words.top


def run(detector: Detector, columns: Columns) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = detector.network(torch.from_numpy(detector.encoder.transform(columns).x))
    return out


def first_weights(network: Autoencoder) -> torch.Tensor:
    """(hidden, inputs): the weights of the first layer."""
    return network.dense_layers()[0].weight


def test_the_same_encoder_leaves_every_weight_as_it_is() -> None:
    champion = fit(SPEC, rows(300), kind="denoising", seed=0).detector()
    network = rebase(champion, champion.encoder, torch.Generator().manual_seed(0))
    for name, tensor in champion.network.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_a_new_mask_begins_without_effect_and_an_old_one_keeps_its_weights() -> None:
    champion = fit(SPEC, rows(300), kind="linear", seed=0).detector()
    masked = Encoder.fit(SPEC, rows(300, missing=0.2), champion.encoder)
    first = first_weights(rebase(champion, masked, torch.Generator().manual_seed(0)))
    for block in masked.layout.blocks:
        assert block.has_mask == (block.kind != "categorical")
        if block.has_mask:
            assert not first[:, block.start + block.width].any()
    careful = fit(SPEC, rows(300, missing=0.2), kind="linear", seed=0).detector()
    again = first_weights(rebase(careful, careful.encoder, torch.Generator().manual_seed(0)))
    mask = careful.encoder.layout.blocks[0].start + 1
    assert first_weights(careful.network)[:, mask].abs().max() > 0
    assert torch.equal(again[:, mask], first_weights(careful.network)[:, mask])


def test_a_windows_earlier_records_are_folded_in_too() -> None:
    features = [{"field": "n", "kind": "numeric"}, {"field": "c", "kind": "categorical"}]
    spec = FeatureSpec.model_validate({"features": features, "entity": "e", "window": 3})

    def windows(shift: float, seed: int) -> Columns:
        rng = np.random.default_rng(seed)
        lags = np.maximum(np.arange(200)[:, None] - np.arange(3), 0)
        return Columns((rng.normal(shift, 1.0, 200), objects(rng.choice(["a", "b"], 200).tolist())), lags)

    # Training would leave hardly any weight on the earlier records of these independent values.
    fitted, first = fit(spec, windows(0.0, 0), kind="linear", seed=0), "autoencoder.layers.0.weight"
    drawn = torch.randn(fitted.tensors[first].shape, generator=torch.Generator().manual_seed(1))
    champion = Detector(fitted.encoder, "linear", {**fitted.tensors, first: drawn})
    encoder = Encoder.fit(spec, windows(2.0, 1), champion.encoder)
    network = rebase(champion, encoder, torch.Generator().manual_seed(0))
    block = windows(1.0, 2)
    with torch.inference_mode():
        new = network(torch.from_numpy(encoder.transform(block).x))[:, 0]
    before, after = champion.encoder.transforms[0], encoder.transforms[0]
    assert isinstance(before, Scaling) and isinstance(after, Scaling)
    assert abs(after.centre - before.centre) > 1.0
    wanted = run(champion, block)[:, 0] * before.spread + before.centre
    assert (new * after.spread + after.centre).numpy() == pytest.approx(wanted.numpy(), abs=1e-3)
