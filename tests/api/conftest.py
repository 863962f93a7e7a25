"""A store for the api, and a small network."""

import contextlib
import shutil

import pytest
import torch
from torch import nn

from workbench.store import Store


@pytest.fixture
def store(request, tmp_path):
    home = tmp_path / "home"
    if "captured" in request.fixturenames:
        shutil.copytree(request.getfixturevalue("captured_home"), home)
    store = Store(home)
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


def build_batch():
    """Return the same batch each time."""
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def batch():
    return build_batch()


@pytest.fixture(scope="session")
def captured_home(tmp_path_factory):
    """The folder of a store that holds the captured network; each test copies it, and captures nothing."""
    from workbench import api

    home = tmp_path_factory.mktemp("captured") / "home"
    with contextlib.closing(Store(home)) as store:
        api.capture(build(), build_batch(), name="small", store=store)
    return home


@pytest.fixture
def captured(store):
    from workbench import api

    return api.show("small", store=store)
