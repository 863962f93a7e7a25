"""Write a route's state into the maps, in an order that is sound at every moment.

New listeners are entered before a track gets traffic, a track loses its traffic before its listeners go, and a
canary that the kernel has rolled back stays so whatever weight a late writer asks for.
"""

from __future__ import annotations

import ctypes as c
import time
from collections.abc import Mapping
from pathlib import Path

from ..policy import Budget
from ..state import Endpoint, RouteState, Track
from . import layout
from .pinned import Pinned, key_bytes, set_number
from .places import descendants, find_slot, grpc_place, has_listener, position, positions, version_at
from .reading import growth_pages, learnt_latency_ns
from .syscalls import bits_of

_LEAST_HANG_NS = 1_000_000_000
_MEMORY_BYTES = 256 << 20
_PAGE = 4096
_OF_CONNECTIONS = ("connections", "unread", "in_flight")


def missing(pinned: Pinned, state: RouteState) -> list[str]:
    """Return which listeners the kernel does not have yet, by endpoint id (and :data:`~.layout.GRPC`)."""
    found = []
    for track in (state.stable, state.canary):
        for one in track.endpoints if track else ():
            index = position(pinned, track.version, one) if track else None
            if index is None:
                found.append(one.id)
            if one.grpc_port and (index is None or not has_listener(pinned, grpc_place(index))):
                found.append(one.id + layout.GRPC)
    return found


def apply(pinned: Pinned, state: RouteState, listeners: Mapping[str, int]) -> None:
    """Make the kernel do what `state` says.

    Parameters
    ----------
    listeners
        Descriptors of the listening sockets of endpoints that are :func:`missing`, by endpoint id; an endpoint
        without one gets no traffic.
    """
    control = pinned.control
    for track in (state.stable, state.canary, state.draining):
        if track is not None:
            _slot(pinned, state, track.version)
    for track in (state.stable, state.canary):
        if track is not None:
            _enter(pinned, track, listeners)
    was_canary = version_at(control, control.canary) if control.state != layout.IDLE else 0
    if state.stable is not None:
        control.stable = _slot(pinned, state, state.stable.version)
    if state.canary is None:
        control.state = layout.IDLE
        control.canary = layout.NO_TRACK
    else:
        _set_budget(pinned, state.budget)
        control.weight = state.weight
        if was_canary != state.canary.version:
            _begin(pinned, _slot(pinned, state, state.canary.version))
    _leave(pinned, state)
    _tell(pinned, state)
    control.generation = state.generation


def _slot(pinned: Pinned, state: RouteState, version: int) -> int:
    """Return a version's track slot, a fresh one if it has none."""
    found = find_slot(pinned, version)
    if found is not None:
        return found
    control = pinned.control
    tracks = (state.stable, state.canary, state.draining)
    kept = {track.version for track in tracks if track} | {version_at(control, control.stable)}
    if control.state == layout.ACTIVE:
        kept.add(version_at(control, control.canary))
    slot = next(n for n, one in enumerate(control.versions) if one == 0 or one not in kept)
    control.counts[slot] = 0
    for index in positions(slot):
        _forget(pinned, index)
        _clear(pinned.replicas[index])
    c.memset(c.addressof(pinned.latencies[slot]), 0, c.sizeof(pinned.latencies[slot]))
    control.versions[slot] = version
    return slot


def _enter(pinned: Pinned, track: Track, listeners: Mapping[str, int]) -> None:
    slot = find_slot(pinned, track.version)
    assert slot is not None
    for endpoint in track.endpoints:
        index = position(pinned, track.version, endpoint)
        if index is None and endpoint.id in listeners:
            _enter_one(pinned, slot, endpoint, listeners[endpoint.id])
            index = position(pinned, track.version, endpoint)
        if index is not None and endpoint.id + layout.GRPC in listeners:
            set_number(pinned.listeners, grpc_place(index), listeners[endpoint.id + layout.GRPC])


def _enter_one(pinned: Pinned, slot: int, endpoint: Endpoint, listener: int) -> None:
    index = next(i for i in positions(slot) if _is_free(pinned.replicas[i]))
    one = pinned.replicas[index]
    _clear(one)
    one.word, one.pid = layout.drain_word(endpoint.id), endpoint.pid
    one.command = _command(endpoint.pid)
    pinned.drains[one.word] = 0
    for pid in (endpoint.pid, *descendants(endpoint.pid)):
        set_number(pinned.processes, pid, index)
    set_number(pinned.listeners, index, listener)
    counts = pinned.control.counts
    counts[slot] = max(counts[slot], index - slot * layout.PER_TRACK + 1)


def _clear(one: layout.Replica) -> None:
    """Make a place ready for another process.

    Clients of the one that died may still wait in its listener: the kernel counts them out of this place when each
    is answered or leaves, so a count set to 0 here would fall below it, and the place would seem busy for ever.
    """
    fresh = layout.Replica(unread_since_ns=time.monotonic_ns(), progress_ns=time.monotonic_ns())
    for name, *_ in layout.Replica._fields_:
        if name not in _OF_CONNECTIONS:
            setattr(one, name, getattr(fresh, name))


def held(pinned: Pinned, state: RouteState) -> set[int]:
    """Return the drain words of the replicas whose listeners must stay open: those of tracks with traffic."""
    slots = {find_slot(pinned, track.version) for track in (state.stable, state.canary) if track}
    return {
        pinned.replicas[index].word
        for slot in slots
        if slot is not None
        for index in positions(slot)
        if pinned.replicas[index].pid
    }


def _leave(pinned: Pinned, state: RouteState) -> None:
    """Take out every listener that no track with traffic names, and send its clients away.

    A stable track whose last process died keeps its listeners: clients wait there for the next process.
    """
    wanted = {
        position(pinned, track.version, one)
        for track in (state.stable, state.canary)
        if track is not None
        for one in track.endpoints
    }
    if state.stable is not None and not state.stable.endpoints:
        wanted |= set(positions(pinned.control.stable))
    kept = {pinned.replicas[index].word for index in wanted if index is not None}
    for index in range(layout.REPLICAS):
        one = pinned.replicas[index]
        if one.pid and index not in wanted:
            if one.word not in kept:  # else another process is this replica now
                pinned.drains[one.word] |= layout.LEAVE
            _forget(pinned, index)


def _tell(pinned: Pinned, state: RouteState) -> None:
    """Tell the replicas of both tracks where they serve; a canary the kernel rolled back keeps its word."""
    told = [(state.stable, layout.STABLE_WORD)]
    if pinned.control.state == layout.ACTIVE:
        told.append((state.canary, layout.CANARY_WORD))
    for track, word in told:
        for endpoint in track.endpoints if track else ():
            pinned.drains[layout.drain_word(endpoint.id)] = word


def _forget(pinned: Pinned, index: int) -> None:
    pinned.listeners.remove(key_bytes(index))
    pinned.listeners.remove(key_bytes(grpc_place(index)))
    if pinned.replicas[index].pid:
        for key in [key for key, value in pinned.processes.items() if value == key_bytes(index)]:
            pinned.processes.remove(key)


def _begin(pinned: Pinned, slot: int) -> None:
    """Start to judge a new canary; its state comes last, with its traffic."""
    control = pinned.control
    control.state = layout.IDLE
    control.canary = slot
    c.memset(c.addressof(control.windows), 0, c.sizeof(control.windows))
    c.memset(c.addressof(control.audit), 0, c.sizeof(control.audit))
    control.overtaken = 0
    for index in positions(slot):
        pinned.replicas[index].memory_base = 0
    control.state = layout.ACTIVE


def _set_budget(pinned: Pinned, budget: Budget) -> None:
    control = pinned.control
    control.breaches = budget.breaches
    learnt = learnt_latency_ns(pinned)
    control.latency_ns = learnt if budget.latency_ms is None else int(budget.latency_ms * 1e6)
    least = max(_LEAST_HANG_NS, 10 * control.latency_ns)
    control.hang_ns = least if budget.hang_ms is None else int(budget.hang_ms * 1e6)
    control.jitter_ns = int((budget.jitter_ms or 0) * 1e6)
    memory = max(_MEMORY_BYTES // _PAGE, 2 * growth_pages(pinned))
    control.memory_pages = memory if budget.memory_bytes is None else budget.memory_bytes // _PAGE
    control.cuda_errors, control.cuda_launches = budget.cuda_errors or 0, budget.cuda_launches or 0
    for number, word in enumerate(bits_of(budget.syscalls)):
        control.syscalls[number] = word


def _is_free(one: layout.Replica) -> bool:
    return one.pid == 0 or not Path(f"/proc/{one.pid}").exists()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().strip()[:15]
    except OSError:
        return b""
