"""A ternary variant as files that other programs read: one file a format.

==============  ==========================================================================================
``bitnet``      safetensors and ``config.json`` as Hugging Face transformers loads them (``bitnet.py``)
``tq2_0``       GGUF, 2.06 bits a weight (``gguf.py``)
``tq1_0``       GGUF, 1.69 bits a weight
==============  ==========================================================================================
"""
