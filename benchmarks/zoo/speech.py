"""Recurrent models: Silero's voice activity detector with its own weights, and a GRU with random ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import Specimen, data_file


class VoiceDetector(nn.Module):
    """One step of Silero VAD 6 (MIT): 36 ms of sound at 16 kHz and a state in, a probability and the next state out.

    A fixed short-time Fourier transform, four convolutions, one LSTM cell.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, 128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, 1, 1)
        self.conv2 = nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3 = nn.Conv1d(64, 64, 3, 2, 1)
        self.conv4 = nn.Conv1d(64, 128, 3, 1, 1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, sound: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """sound: [batch, 576], hidden, cell: [batch, 128] -> probability [batch, 1], hidden, cell."""
        spectrum = self.stft_conv(functional.pad(sound[:, None], (0, 64), mode="reflect"))
        x = torch.sqrt(spectrum[:, :129] ** 2 + spectrum[:, 129:] ** 2)
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = functional.relu(convolution(x))
        hidden, cell = self.lstm_cell(x.squeeze(-1), (hidden, cell))
        speech = torch.sigmoid(self.final_conv(functional.relu(hidden)[..., None]))
        return speech.mean(-1), hidden, cell


class Steps(nn.Module):
    """Two GRU layers over a sequence, 64 -> 128, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(64, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, 16)

    def forward(self, x: Tensor) -> Tensor:
        """x: [batch, steps, 64] -> [batch, 16]."""
        return self.head(self.recurrent(x)[0][:, -1])  # type: ignore[no-any-return]


def silero() -> Specimen:
    """Return Silero VAD; sound is a sum of tones and noise."""
    from safetensors.torch import load_file

    model = VoiceDetector()
    model.load_state_dict(load_file(data_file("silero_vad", "data", "silero_vad_16k.safetensors")))
    return Specimen(model, _frames(0, 8), [_frames(seed, 8) for seed in range(1, 9)])


def _frames(seed: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    pitch = 80 + 300 * torch.rand(batch, 1, generator=random)
    time = torch.arange(576) / 16000
    voice = sum(torch.sin(2 * torch.pi * pitch * n * time) / n for n in range(1, 9))
    noise = torch.randn(batch, 576, generator=random)
    hidden, cell = torch.randn(2, batch, 128, generator=random) * 0.3
    return (0.1 * voice + 0.02 * noise).float(), hidden.tanh(), cell


def gru() -> Specimen:
    """Return the GRU on random sequences of 32 steps."""
    torch.manual_seed(0)
    model = Steps()
    return Specimen(model, (torch.randn(8, 32, 64),), [(torch.randn(8, 32, 64),) for _ in range(4)])
