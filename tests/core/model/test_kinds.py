"""Each kind does what its name says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from training.learn.fit import descend, fit
from worker.core.events.columns import Columns
from worker.core.events.spec import FeatureSpec
from worker.core.model.autoencoder import Autoencoder
from worker.core.model.encoder import Encoded, Encoder
from worker.core.model.kinds import KINDS, DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder

WIDTH = 8
SPEC = FeatureSpec.model_validate(
    {"features": [{"field": f"x{i}", "kind": "numeric", "scale": "standard"} for i in range(WIDTH)]}
)


def mix(count: int, seed: int, sources: int, noise: float = 0.1) -> npt.NDArray[np.float64]:
    """(count, 8): a few independent sources of falling strength, mixed into eight numbers, with a little noise."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(np.random.default_rng(99).normal(size=(WIDTH, WIDTH)))[0][:sources]
    strength = np.linspace(2.0, 1.0, sources)
    values: npt.NDArray[np.float64] = rng.normal(size=(count, sources)) * strength @ directions
    return values + noise * rng.normal(size=(count, WIDTH))


def columns(values: npt.NDArray[np.float64]) -> Columns:
    return Columns(tuple(values.T))


def reconstruct(
    kind: str, train: npt.NDArray[np.float64], test: npt.NDArray[np.float64]
) -> tuple[Encoded, torch.Tensor]:
    detector = fit(SPEC, columns(train), kind=kind, seed=0).detector()
    encoded = detector.encoder.transform(columns(test))
    with torch.inference_mode():
        return encoded, detector.network(torch.from_numpy(encoded.x))


def test_the_linear_kind_spans_the_principal_subspace() -> None:
    """Its code is four wide; it explains as much as four principal components, and the two subspaces are the same."""
    encoded, out = reconstruct("linear", mix(4_000, 1, 4), mix(2_000, 2, 4))
    x = encoded.x.astype(np.float64)
    _, _, axes = np.linalg.svd(x - x.mean(0), full_matrices=False)
    principal = (x - x.mean(0)) @ axes[:4].T @ axes[:4] + x.mean(0)
    best, mine = ((x - principal) ** 2).sum(), ((x - out.numpy()) ** 2).sum()
    total = ((x - x.mean(0)) ** 2).sum()
    assert (total - mine) / (total - best) > 0.98
    spanned = np.linalg.svd(out.numpy() - out.numpy().mean(0), full_matrices=False)[2][:4]
    cosines = np.linalg.svd(spanned @ axes[:4].T, compute_uv=False)
    assert cosines.min() > 0.97


def test_the_linear_kind_is_linear() -> None:
    network, encoded = train("linear")
    x, y = (torch.from_numpy(encoded.x[part]) for part in (slice(0, 100), slice(100, 200)))
    with torch.inference_mode():
        together, apart = network(x + y) + network(torch.zeros_like(x)), network(x) + network(y)
    assert together.numpy() == pytest.approx(apart.numpy(), abs=1e-4)


def test_the_undercomplete_kinds_code_is_narrow_and_keeps_the_sources() -> None:
    train = mix(4_000, 1, 2)
    detector = fit(SPEC, columns(train), kind="undercomplete", seed=0).detector()
    encoded = detector.encoder.transform(columns(mix(2_000, 2, 2)))
    assert detector.score(encoded).code.shape == (2_000, 2)
    with torch.inference_mode():
        out = detector.network(torch.from_numpy(encoded.x)).numpy()
    explained = 1.0 - ((encoded.x - out) ** 2).sum() / ((encoded.x - encoded.x.mean(0)) ** 2).sum()
    assert explained > 0.9  # there are two sources, and noise of about 1 %


def test_the_denoising_kind_restores_a_corrupted_row_better_than_the_plain_network() -> None:
    """The same network is trained with and without corruption; both are then shown corrupted rows."""
    encoder = Encoder.fit(SPEC, columns(mix(4_000, 1, 3)))
    layout, encoded = encoder.layout, encoder.transform(columns(mix(4_000, 1, 3)))
    clean = torch.from_numpy(encoder.transform(columns(mix(2_000, 2, 3))).x)
    corrupted = DenoisingAutoencoder(layout).corrupt(clean, layout, torch.Generator().manual_seed(5))
    errors = {}
    for kind in (DenoisingAutoencoder, Autoencoder):
        generator = torch.Generator().manual_seed(0)
        network = kind(layout, generator)
        descend(network, layout, encoded, 1_500, 5e-3, generator)
        with torch.inference_mode():
            errors[kind] = float(((network(corrupted) - clean) ** 2).mean())
    assert errors[DenoisingAutoencoder] < 0.8 * errors[Autoencoder]


def train(kind: str, seed: int = 0) -> tuple[torch.nn.Module, Encoded]:
    encoder = Encoder.fit(SPEC, columns(mix(3_000, 1, 3)))
    encoded, layout = encoder.transform(columns(mix(3_000, 1, 3))), encoder.layout
    generator = torch.Generator().manual_seed(seed)
    network = KINDS[kind](layout, generator)
    descend(network, layout, encoded, 1_500, 5e-3, generator)
    return network, encoded


def test_the_sparse_kinds_code_is_wide_and_mostly_at_rest() -> None:
    network, encoded = train("sparse")
    assert isinstance(network, SparseAutoencoder)
    assert network.code_width > WIDTH
    with torch.inference_mode():
        code = network.encode(torch.from_numpy(encoded.x))
        explained = 1.0 - float(((network(torch.from_numpy(encoded.x)) - torch.from_numpy(encoded.x)) ** 2).mean())
    assert float((code > 0.5).float().mean()) < 0.1
    assert float(code.mean()) == pytest.approx(network.active, abs=0.05)
    assert explained > 0.7  # at rest, yet not silent


def test_the_variational_kinds_posterior_does_not_collapse() -> None:
    """Its mean varies with the row, its variance is far below the prior's, and rows are reconstructed."""
    network, encoded = train("variational")
    assert isinstance(network, VariationalAutoencoder)
    x = torch.from_numpy(encoded.x)
    with torch.inference_mode():
        mean, log_variance = network.posterior(x)
        explained = 1.0 - float(((network(x) - x) ** 2).mean())
    informed = (mean.var(0) > 0.1) & (log_variance.exp().mean(0) < 0.7)
    assert int(informed.sum()) >= 3  # as many as there are sources
    assert explained > 0.6


def test_the_variational_kind_draws_while_it_trains_and_never_when_it_serves() -> None:
    network, encoded = train("variational")
    x = torch.from_numpy(encoded.x[:50])
    with torch.inference_mode():
        first, second = (network.training_pass(x, torch.Generator().manual_seed(seed))[0] for seed in (1, 2))  # type: ignore[operator]
        assert not torch.equal(first, second)
        assert torch.equal(network(x), network(x))
