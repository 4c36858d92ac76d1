"""Two PyTorch modules of a user's own: one that learns well, and the network that was published."""

import torch

import medfl


@medfl.torch_model("residual")
def residual(features: int, outcomes: int, width: int = 64) -> torch.nn.Module:
    """Make a network with a shortcut: what it cannot improve on passes through."""
    return Residual(features, outcomes, width)


class Residual(torch.nn.Module):
    """One hidden layer, one block beside a shortcut, one score."""

    def __init__(self, features: int, outcomes: int, width: int) -> None:
        super().__init__()
        self.enter = torch.nn.Linear(features, width)
        self.block = torch.nn.Sequential(torch.nn.LayerNorm(width), torch.nn.Linear(width, width), torch.nn.GELU())
        self.leave = torch.nn.Linear(width, outcomes)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return a score a row."""
        inside = torch.nn.functional.gelu(self.enter(rows))
        return self.leave(inside + self.block(inside))


@medfl.torch_model("published")
def published(features: int, outcomes: int) -> torch.nn.Module:
    """Make the published network: four layers of 64 and a sigmoid, whose output the loss takes for a logit."""
    layers: list[torch.nn.Module] = []
    for width in (features, 64, 64, 64):
        layers += [torch.nn.Linear(width, 64), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(64, outcomes), torch.nn.Sigmoid())
