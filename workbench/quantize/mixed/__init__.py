"""A format for each layer: how much each choice disturbs the program, and the smallest program that still holds.

::

    sensitivity.py   what the program's output loses when one layer alone changes its format
    search.py        from these figures to an order of moves, and along it to the smallest that passes
"""
