"""``--backend auto``: compile with every backend and number format, race them, pick the fastest that passes.

::

    contenders.py   what is tried, in which order
    worker.py       a process of one backend: compiles, loads, times, scores
    team.py         starts workers, asks them, and survives their death
    side_by_side.py compiles for several backends at once
    race.py         times contenders in turns
    search.py       all of it within a budget
    report.py       the tables
"""
