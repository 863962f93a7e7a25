"""One model behind the Open Inference Protocol v2, in a process of its own.

::

    replica     the command line: bind, load, warm up, announce, serve, drain
    ├── listener    the socket                 ├── app         routes and status codes
    ├── bundle      folder -> ServedModel      ├── envelope    headers, metrics and drain of every answer
    └── server      uvicorn with our drain     └── pool        bounded queue in front of the model
    protocol    requests and answers <-> bytes;   tensors   one tensor <-> JSON or bytes
    client      the other end, standard library only (and numpy)

Nothing here imports a verb: a replica gets its loader by name (``--loader package.module:function``).
"""
