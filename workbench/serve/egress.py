"""Where a replica may connect to: a list of networks that the kernel holds its control group to.

A model that computes has nobody to call. With ``--egress none`` (or a list) a connection or a datagram to any other
address fails with *permission denied* in the process that tries, whatever library it uses. The programs belong to
the group, not to a process: they stay until the group is removed, also while a replica is started again.
"""

from __future__ import annotations

import ipaddress
import os
import struct
from pathlib import Path

from ..bpf.build import load_object
from ..bpf.libbpf import BpfObject, Library
from ..errors import InputError

NONE = "none"
_BPF = Path(__file__).parent / "bpf" / "build"
_KEY = struct.Struct("=I16s")
# enum bpf_attach_type (linux/bpf.h)
_HOOKS = {"connect4": 10, "connect6": 11, "sendmsg4": 14, "sendmsg6": 15}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(policy: str) -> list[Network]:
    """Return the networks of a policy.

    Parameters
    ----------
    policy
        ``none``, or networks and addresses by commas.

    Raises
    ------
    InputError
        If one is none.

    Examples
    --------
    >>> [str(one) for one in networks("127.0.0.0/8, ::1")]
    ['127.0.0.0/8', '::1/128']
    >>> networks("none")
    []
    """
    if policy.strip() == NONE:
        return []
    try:
        return [ipaddress.ip_network(part.strip()) for part in policy.split(",")]
    except ValueError as error:
        raise InputError(
            f"no network: {error}", where="--egress", fix="none, or networks as 10.0.0.0/8,::1"
        ) from error


def hold(folder: Path, allowed: list[Network]) -> None:
    """Hold a control group (its version 2 folder) to networks; an earlier list of the group is replaced.

    Raises
    ------
    NoPrivilege, TraceError
        If the kernel does not take the programs.
    MissingDependency
        Without libbpf.
    """
    library = Library()
    programs = BpfObject(library, "egress", load_object("egress", _BPF), {})
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for network in allowed:
            programs.map("allowed").set(_key(network), struct.pack("=I", 1))
        for name, hook in _HOOKS.items():
            programs.give_to_cgroup(name, handle, hook)
    finally:
        os.close(handle)
        programs.close()  # the group holds what is attached to it, and that holds the maps


def _key(network: Network) -> bytes:
    if isinstance(network, ipaddress.IPv4Network):
        return _KEY.pack(96 + network.prefixlen, bytes(10) + b"\xff\xff" + network.network_address.packed)
    return _KEY.pack(network.prefixlen, network.network_address.packed)
