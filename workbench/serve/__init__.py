"""One model behind the Open Inference Protocol v2, in a process of its own.

::

    replica     bind, load, warm up, announce, serve, drain          options    its command line
    ├── listener    the socket                   ├── app         HTTP: routes and status codes
    ├── bundle      folder -> ServedModel        ├── envelope    headers, metrics and trace of every answer
    ├── server      uvicorn with our drain       ├── connections bounds on heads and idle connections
    └── service     what all transports share    └── transports/ gRPC, local: one file each
        ├── pool        bounded queue            ├── batching    which of the waiting to run as one
        ├── exchange    one request's way        └── model       decode, check, run, encode
    protocol    requests and answers <-> bytes;   tensors   one tensor <-> JSON or bytes;   fields   JSON values
    shared_memory  clients' regions;   trace_context  traceparent, request id;   metrics, logs
    client      the other end over HTTP;  local_client  the other end over shared memory (local_wire)

Nothing here imports a verb: a replica gets its loader by name (``--loader package.module:function``).
"""
