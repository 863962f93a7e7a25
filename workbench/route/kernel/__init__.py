"""The route in the kernel: programs that split connections and roll a bad canary back by themselves.

::

    controller ──state──► router process ──► pinned maps ◄── sk_lookup program ◄── SYN of a client
    (owner's uid)         (3 capabilities)        ▲
    replica ◄── one word: leave?       ───────┴───────── sentinel programs ◄── sockets, scheduler, exits

Everything is pinned before the first connection, so the split and the roll-back need no process of ours.

* `layout`     the maps as structures, field for field those of ``bpf/control.h``
* `pinned`     one deployment's programs and maps: load, pin, find again, remove
* `apply`      write a route's state into the maps; `places` in them; `reading` and `carried` what they say
* `listeners`  a replica's listening socket, taken from its process, and the connector's own
* `router`     the small privileged process (``python -m workbench.route.kernel.router``); `client` asks it,
  `clients` hears those who ask, `service` starts one for all users; `machine` says what is possible here
* `route`      the :class:`~workbench.route.base.Route` made of these
* `request_route` the same with a split by request: `requests` loads its program, and the `connector` process
  (``python -m workbench.route.kernel.connector``) connects a client to both tracks (`pairs`, `dialer`), hears who
  closes (`ending`), carries what the kernel does not take (`passing`), and tells what goes wrong (`troubles`)
"""
