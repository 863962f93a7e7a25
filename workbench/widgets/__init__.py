"""What the notebook shows: progress while a run goes, and views of what it left.

Every view is a mimebundle of plain text and script-free HTML/SVG, so it stays readable in a saved notebook,
on GitHub and in nbconvert. Nothing here asks the store; views are given data. `live` is the base of views that
can be explored; their modules lie in ``esm/``.
"""
