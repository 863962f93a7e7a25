"""The character model learns, scores in perplexity, and is captured for any batch."""

from __future__ import annotations

import torch

from workbench.examples import charlm


def test_it_learns_and_is_scored_on_text_it_has_not_seen():
    torch.manual_seed(0)
    corpus = charlm.load()
    assert set(map(len, (corpus.train, corpus.test))) != {0}
    model = charlm.CharLM(len(corpus.alphabet)).eval()
    before = charlm.perplexity(model, corpus, windows=32)
    assert before > 0.5 * len(corpus.alphabet)
    after = charlm.perplexity(charlm.train(model, corpus, cpu_s=2.0), corpus, windows=32)
    assert after < 0.6 * before


def test_a_batch_is_text_and_what_follows():
    corpus = charlm.load()
    ((ids, following),) = charlm.batches(corpus, 1)
    assert ids.shape == following.shape == (charlm.BATCH, charlm.CONTEXT)
    assert torch.equal(ids[:, 1:], following[:, :-1])
