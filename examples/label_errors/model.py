"""The network: 784 pixels, 64 hidden units, 10 digits."""

from torch import Tensor, nn


class Net(nn.Module):
    """A two-layer perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels)
