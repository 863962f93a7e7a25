"""A store for the api, and a small network."""

import pytest
import torch
from torch import nn

from workbench.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "home")
    yield store
    store.close()


class Small(nn.Module):
    """Two linear layers: float32 [batch, 8] to [batch, 4]."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def build():
    """Return the same network each time."""
    torch.manual_seed(3)
    return Small().eval()


@pytest.fixture
def network():
    return build()


@pytest.fixture
def batch():
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def captured(store, network, batch):
    from workbench import api

    return api.capture(network, batch, name="small", store=store)
