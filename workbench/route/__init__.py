"""The route: one address in front of a deployment's replicas, split between a stable and a canary track.

::

    client ── one address ──► Route ──► stable replicas   (weight 10,000 - w)
                              │   └───► canary replicas   (weight w)
                              └ state file: who, how much, since which generation

* `policy`     which request goes where, and when a canary has spent its error budget (pure arithmetic)
* `state`      what the route does now, and the transitions between such states (pure)
* `statefile`  that state on disk, shared by everybody who changes or follows it
* `base`       the seam: what every implementation of a route offers
* `user_space` the implementation that works everywhere: a proxy process (`python -m workbench.route.proxy`)

The package is light on purpose: import the module you need.
"""
