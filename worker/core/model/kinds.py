"""The five kinds of autoencoder: each adds one idea to the shared network and loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.core.model.autoencoder import CODE_MOST, Activation, Autoencoder, make_linear
from worker.core.model.layout import Layout


class LinearAutoencoder(Autoencoder):
    """There is no activation anywhere, so the best code spans the principal subspace of the inputs.

    Source: Baldi and Hornik, "Neural networks and principal component analysis", Neural Networks 2(1), 1989.
    """

    kind = "linear"
    activation = None
    code_activation = None


class UndercompleteAutoencoder(Autoencoder):
    """Only the narrow code limits what the network can reproduce.

    Source: Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313, 2006.
    """

    kind = "undercomplete"

    @staticmethod
    def width_of_code(features: int, hidden: int) -> int:
        """A third of the features: a code of half of them already reproduces nearly everything."""
        return min(CODE_MOST, max(1, features // 3))


class DenoisingAutoencoder(Autoencoder):
    """The network reconstructs the clean row from a corrupted one.

    Numbers get Gaussian noise with half their own standard deviation, and each feature is swapped with another row's
    with probability 0.2, which keeps its marginal distribution.
    Source: Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010, section 3.
    """

    kind = "denoising"
    noise = 0.5
    swap = 0.2

    def corrupt(self, x: Tensor, layout: Layout, generator: torch.Generator) -> Tensor:
        numbers = torch.from_numpy(layout.lagged(layout.numeric_starts, layout.window))
        noisy = x.clone()
        noisy[:, numbers] += self.noise * torch.randn(len(x), len(numbers), generator=generator)
        swapped = torch.rand(len(x), layout.window * layout.features, generator=generator) < self.swap
        partners = torch.randint(len(x), (len(x),), generator=generator)
        widths = torch.tensor([block.width + block.has_mask for block in layout.blocks]).repeat(layout.window)
        return torch.where(swapped.repeat_interleave(widths, dim=1), x[partners], noisy)


class SparseAutoencoder(Autoencoder):
    """The code is wide, but only a few of its units are active at a time.

    A Kullback-Leibler penalty holds the mean activation of each unit near `active`.
    Source: Ng, "Sparse autoencoder", CS294A lecture notes, Stanford 2011, section 3.
    """

    kind = "sparse"
    code_activation: Activation | None = staticmethod(torch.sigmoid)
    active = 0.05
    weight = 0.5

    @staticmethod
    def width_of_code(features: int, hidden: int) -> int:
        return hidden

    def training_pass(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        code = self.encode(x)
        mean = code.mean(0).clamp(1e-4, 1.0 - 1e-4)
        divergence = self.active * torch.log(self.active / mean) + (1.0 - self.active) * torch.log(
            (1.0 - self.active) / (1.0 - mean)
        )
        return self.decode(code), (self.weight * divergence.sum()).expand(len(x))


class VariationalAutoencoder(Autoencoder):
    """The code is a Gaussian per row, kept near a standard normal.

    Training decodes a draw from it; serving decodes its mean. Each unit may carry `free` nats at no cost, so that the
    posterior does not collapse.
    Source: Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014; free bits: Kingma et al., "Improved
    variational inference with inverse autoregressive flow", NeurIPS 2016, appendix C.8.
    """

    kind = "variational"
    code_activation = None
    free = 0.25

    def __init__(self, layout: Layout, generator: torch.Generator | None = None) -> None:
        super().__init__(layout, generator)
        self.log_variance = make_linear(self.layers[0].out_features, self.code_width, generator)  # type: ignore[arg-type]
        nn.init.constant_(self.log_variance.bias, -2.0)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, inputs) to the mean and the log variance of the code, (n, code_width) each."""
        hidden = torch.tanh(self.layers[0](x))
        return self.layers[1](hidden), self.log_variance(hidden).clamp(-8.0, 4.0)

    def training_pass(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.posterior(x)
        draw = mean + torch.exp(0.5 * log_variance) * torch.randn(mean.shape, generator=generator)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance)
        # As in the paper, the free nats bound a unit's mean over the batch.
        return self.decode(draw), divergence.mean(0).clamp_min(self.free).sum().expand(len(x))


KINDS: dict[str, type[Autoencoder]] = {
    kind.kind: kind
    for kind in (
        LinearAutoencoder,
        UndercompleteAutoencoder,
        DenoisingAutoencoder,
        SparseAutoencoder,
        VariationalAutoencoder,
    )
}
"""The classes by their name in the configuration, `model.kind`."""
