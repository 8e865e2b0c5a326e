"""An encoder with a linear head on its features: what a fine-tune trains."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from xprobe.base.arrays import Floats
from xprobe.encoders.network import Network


@dataclass(frozen=True, eq=False)
class HeadStart:
    """The start of a head: logits are weight · f + bias, with f scaled to length 1 if `unit`."""

    weight: Floats
    bias: Floats
    unit: bool


class Classifier(torch.nn.Module):
    """An encoder's network with a linear head on its features."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, head: HeadStart) -> None:
        """Copy the network, so that others can start from it, too."""
        super().__init__()
        self.encoder = deepcopy(network.module)
        k, d = head.weight.shape
        self.head = torch.nn.Linear(d, k)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.weight))
            self.head.bias.copy_(torch.from_numpy(head.bias))
        self.unit = head.unit
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in network.normalisation)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def normalised(self, x: Tensor) -> Tensor:
        """Return uint8 images (n, 3, height, width) normalised for the encoder."""
        return x.float().div(255).sub(self.mean).div(self.std)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, k) of normalised images (n, 3, height, width)."""
        features = self.encoder(x).float()
        if self.unit:
            features = functional.normalize(features, dim=1)
        logits: Tensor = self.head(features)
        return logits


def batch_norms(model: torch.nn.Module) -> list[_BatchNorm]:
    """Return every batch norm of a network."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
