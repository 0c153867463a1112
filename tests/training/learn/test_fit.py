"""Fitting: the same weights from the same seed, robust to contamination, better from a warm start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.core.examples import SPEC, rows
from training.learn.fit import fit
from training.learn.gate import compare
from training.learn.warm_start import rebase
from worker.core.events.columns import Columns
from worker.core.model.detector import Detector
from worker.core.model.encoder import Encoder
from worker.core.model.kinds import KINDS
from worker.core.model.scaling import Scaling
from worker.core.model.threshold import Threshold
from worker.core.model.vocabulary import Vocabulary

BASE = fit(SPEC, rows(1_500), kind="denoising", seed=0)
DETECTOR = BASE.detector()


def errors(detector: Detector, columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return detector.errors(detector.encoder.transform(columns))


def broken(seed: int) -> Columns:
    """b no longer goes with a."""
    columns = rows(300, seed)
    np.random.default_rng(seed).shuffle(columns.values[1])
    return columns


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = fit(SPEC, rows(1_500), kind="denoising", seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(tensor, BASE.tensors[name]) for name, tensor in again.tensors.items())
    other = fit(SPEC, rows(1_500), kind="denoising", seed=1)
    assert not torch.equal(other.tensors["autoencoder.layers.0.weight"], BASE.tensors["autoencoder.layers.0.weight"])


def test_a_broken_relation_is_seen_though_every_value_is_ordinary() -> None:
    normal, odd = errors(DETECTOR, rows(1_000, seed=7)), errors(DETECTOR, broken(8))
    # The chance that a row with two unrelated values scores above a normal one; one half is blind.
    assert (odd[:, None] > normal[None, :]).mean() > 0.6


def test_a_dirty_warm_up_still_sees_its_kind_of_dirt() -> None:
    dirty = rows(1_500)
    wild = np.random.default_rng(0).choice(1_200, 45, replace=False)
    dirty.values[0][wild] = 60.0
    detector = fit(SPEC, dirty, kind="denoising", seed=0).detector()
    again = rows(200, seed=3)
    again.values[0][:] = 60.0
    assert np.median(errors(detector, again)) > np.quantile(errors(detector, rows(1_000, seed=4)), 0.99)


def shifted(count: int, seed: int) -> Columns:
    columns = rows(count, seed)
    columns.values[0][:] += 3.0
    return columns


def test_a_warm_start_learns_what_has_moved() -> None:
    tuned = fit(SPEC, shifted(3_000, 1), kind="denoising", seed=1, parent=DETECTOR).detector()
    new = shifted(1_000, 2)
    assert errors(tuned, new).mean() < 0.9 * errors(DETECTOR, new).mean()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_new_encoder_is_folded_in_so_that_the_output_stays(kind: str) -> None:
    """Numbers come out in original units as before; categories with the same log odds, a new one as `other` had."""
    champion = fit(SPEC, rows(600), kind=kind, seed=0).detector()
    moved = shifted(600, 4)
    moved.values[2][moved.values[2] == "z"] = "brand new"
    encoder = Encoder.fit(SPEC, moved, champion.encoder)
    network = rebase(champion, encoder, torch.Generator().manual_seed(0))
    block = rows(200, seed=6)
    # What an encoder clips, or what one knows by name and the other does not, is not the same input to both.
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


def test_another_kind_than_the_champions_is_trained_from_scratch() -> None:
    assert fit(SPEC, rows(600), kind="sparse", seed=1, parent=DETECTOR).kind == "sparse"


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="15 rows are too few"):
        fit(SPEC, rows(15), kind="denoising", seed=0)


# The gate.


def threshold(detector: Detector) -> Threshold:
    from training.learn.calibrate import calibrate

    return calibrate(errors(detector, rows(2_000, seed=20)), bundle="b", alert_rate=0.01, created_at="x")


def changed(scale: float = 1.0, weight: float | None = None) -> Detector:
    tensors = {
        name: tensor * scale if name.startswith("autoencoder") else tensor for name, tensor in BASE.tensors.items()
    }
    if weight is not None:
        tensors["autoencoder.layers.3.bias"] = torch.full_like(tensors["autoencoder.layers.3.bias"], weight)
    return Detector(BASE.encoder, "denoising", tensors)


def test_an_honest_fine_tune_passes() -> None:
    tuned = fit(SPEC, rows(3_000, seed=21), kind="denoising", seed=2, parent=DETECTOR).detector()
    result = compare(DETECTOR, threshold(DETECTOR), tuned, threshold(tuned), rows(1_500, seed=22))
    assert result.refusals == []


def test_a_model_that_forgot_everything_is_refused_for_its_error() -> None:
    blank = changed(scale=0.0)
    result = compare(DETECTOR, threshold(DETECTOR), blank, threshold(blank), rows(1_500, seed=22))
    assert any("normal error" in reason for reason in result.refusals)


def test_a_model_with_broken_weights_is_refused() -> None:
    result = compare(
        DETECTOR, threshold(DETECTOR), changed(weight=float("nan")), threshold(DETECTOR), rows(1_500, seed=22)
    )
    assert result.refusals == ["errors are not finite"]


def test_a_threshold_that_floods_is_refused() -> None:
    low = threshold(DETECTOR).model_copy(update={"cut": 0.3})
    result = compare(DETECTOR, threshold(DETECTOR), DETECTOR, low, rows(1_500, seed=22))
    assert any("flags" in reason for reason in result.refusals)


def test_a_model_that_gives_every_row_the_same_error_is_refused() -> None:
    # Nothing the members compute depends on the row: residuals and marginals are flat, the output beyond any cap.
    constant = {"conditional.matrix": 0.0, "marginal.table": 0.5,
                "autoencoder.layers.3.weight": 0.0, "autoencoder.layers.3.bias": 1e3}  # fmt: skip
    flat = {name: torch.full_like(tensor, constant[name]) if name in constant else tensor
            for name, tensor in BASE.tensors.items()}  # fmt: skip
    same = Detector(BASE.encoder, "denoising", flat)
    result = compare(DETECTOR, threshold(DETECTOR), same, threshold(same), rows(1_500, seed=22))
    assert any("diversity" in reason for reason in result.refusals)
