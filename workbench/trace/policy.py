"""What a traced process may touch: a policy file, its rules for the kernel, and the verdict on each event.

::

    [paths]
    allow = ["/usr/*", "/data/*"]      # what may be opened; * crosses folders
    write = ["/tmp/*"]                 # what may be opened for writing
    deny = ["/data/secret/*"]          # never
    [hosts]
    allow = ["127.0.0.1", "10.0.0.0/8:443", "[::1]:8000-8010", "example.org:443"]
    [programs]
    allow = ["/usr/bin/*"]
    [syscalls]
    deny = ["ptrace", "mount"]         # or allow = [...]
    [enforce]
    signal = "SIGTERM"                 # also stop who was refused

A list that is absent allows everything; an empty one nothing.
"""

from __future__ import annotations

import errno
import fnmatch
import ipaddress
import os
import signal
import socket
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .rows import AuditEvent
from .syscall_names import syscall_names

MAX_RULES = 64
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_SECTIONS = {
    "paths": {"allow", "write", "deny"},
    "hosts": {"allow"},
    "programs": {"allow", "deny"},
    "syscalls": {"allow", "deny"},
    "enforce": {"signal"},
}
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class HostRule:
    """Addresses and ports one entry of the policy covers."""

    text: str
    network: _Network
    low: int
    high: int

    def packed(self) -> tuple[str, int, int, int]:
        """Return address (hexadecimal, IPv4 mapped into IPv6), prefix length, first and last port."""
        address, prefix = self.network.network_address, self.network.prefixlen
        if address.version == 4:
            return (b"\0" * 10 + b"\xff\xff" + address.packed).hex(), 96 + prefix, self.low, self.high
        return address.packed.hex(), prefix, self.low, self.high

    def covers(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
        """Return whether a peer is allowed by this rule."""
        return address in self.network and self.low <= port <= self.high


@dataclass(frozen=True)
class Policy:
    """A policy; lists are None where the file has none.

    Raises
    ------
    InputError
        When read with :meth:`load`, if the file is not there or anything in it is not as above.
    """

    lists: dict[tuple[str, str], tuple[str, ...]]
    hosts: tuple[HostRule, ...] | None = None
    signal: int = 0
    file: str = "policy.toml"

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy file; host names are looked up now."""
        try:
            body = tomllib.loads(Path(path).read_text())
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"this policy cannot be read: {error}", where=str(path)) from error
        lists: dict[tuple[str, str], tuple[str, ...]] = {}
        for section, content in body.items():
            if section not in _SECTIONS or not isinstance(content, dict):
                raise InputError(
                    f"a policy has no section {section!r}",
                    where=str(path),
                    fix=f"sections: {', '.join(_SECTIONS)}",
                )
            for key, value in content.items():
                if key not in _SECTIONS[section]:
                    raise InputError(f"[{section}] has no {key!r}", where=str(path))
                if section != "enforce":
                    lists[section, key] = _texts(value, f"[{section}] {key}", path)
        hosts = lists.pop(("hosts", "allow"), None)
        known = set(syscall_names().values())
        for key in ("allow", "deny"):
            for name in lists.get(("syscalls", key), ()):
                if name not in known:
                    raise InputError(f"no system call is called {name!r}", where=str(path))
        rules = None if hosts is None else tuple(rule for text in hosts for rule in _rules(text, path))
        if rules is not None and len(rules) > MAX_RULES:
            raise InputError(
                f"{len(rules)} addresses, at most {MAX_RULES} fit the kernel's table", where=str(path)
            )
        return cls(lists, rules, _signal(body.get("enforce", {}).get("signal"), path), str(path))

    def judge(self, event: AuditEvent, *, enforced: bool = False) -> tuple[str, str]:
        """Return the verdict on an event and the rule behind it."""
        if event.action == "open":
            return self._judge_open(event)
        if event.action == "exec":
            return self._named("programs", event.target)
        if event.action == "syscall":
            return self._named("syscalls", event.target)
        return self._judge_peer(event, enforced=enforced)

    def watched(self) -> tuple[int, ...]:
        """Return the numbers of the system calls that would be violations."""
        return tuple(
            number
            for number, name in syscall_names().items()
            if self._named("syscalls", name)[0] == "violation"
        )

    def _judge_open(self, event: AuditEvent) -> tuple[str, str]:
        if event.error == errno.ENOENT:
            return "allowed", "does not exist"
        denied = _first(self.lists.get(("paths", "deny"), ()), event.target)
        if denied is not None:
            return "violation", f"[paths] deny {denied}"
        key = "write" if event.bytes & _WRITE and ("paths", "write") in self.lists else "allow"
        allowed = self.lists.get(("paths", key))
        if allowed is None:
            return "allowed", ""
        found = _first(allowed, event.target)
        if found is not None:
            return "allowed", f"[paths] {key} {found}"
        return "violation", f"not in [paths] {key}"

    def _judge_peer(self, event: AuditEvent, *, enforced: bool) -> tuple[str, str]:
        host, _, port = event.target.rpartition(":")
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return "allowed", ""  # unix, netlink: nothing leaves the machine
        if self.hosts is None:
            return "allowed", ""
        address = getattr(address, "ipv4_mapped", None) or address
        for rule in self.hosts:
            if rule.covers(address, int(port)):
                return "allowed", f"[hosts] allow {rule.text}"
        refused = enforced and event.error == errno.EPERM
        verdict = ("stopped" if self.signal else "denied") if refused else "violation"
        return verdict, "not in [hosts] allow"

    def _named(self, section: str, name: str) -> tuple[str, str]:
        denied = _first(self.lists.get((section, "deny"), ()), name)
        if denied is not None:
            return "violation", f"[{section}] deny {denied}"
        allowed = self.lists.get((section, "allow"))
        if allowed is None:
            return "allowed", ""
        found = _first(allowed, name)
        return (
            ("allowed", f"[{section}] allow {found}") if found else ("violation", f"not in [{section}] allow")
        )


def _first(patterns: tuple[str, ...], text: str) -> str | None:
    return next((pattern for pattern in patterns if fnmatch.fnmatchcase(text, pattern)), None)


def _texts(value: Any, where: str, path: str | Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{where} is not a list of texts", where=str(path))
    return tuple(value)


def _signal(value: Any, path: str | Path) -> int:
    if value is None:
        return 0
    try:
        return int(signal.Signals[value])
    except (KeyError, TypeError):
        raise InputError(f"{value!r} is no signal", where=str(path), fix='signal = "SIGTERM"') from None


def _rules(text: str, path: str | Path) -> list[HostRule]:
    host, ports = _split(text)
    try:
        low, high = (int(part) for part in (ports.split("-") * 2)[:2]) if ports != "*" else (0, 65535)
        if not 0 <= low <= high <= 65535:
            raise ValueError(f"ports {ports}")
        return [HostRule(text, ipaddress.ip_network(host), low, high)]
    except ValueError as error:
        if "/" in host or not host or host[0].isdigit() or ":" in host or "ports" in str(error):
            raise InputError(f"{text!r} is no address: {error}", where=str(path)) from error
    try:
        found = {row[4][0] for row in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise InputError(f"host {host!r} cannot be looked up: {error}", where=str(path)) from error
    return [HostRule(text, ipaddress.ip_network(address), low, high) for address in sorted(map(str, found))]


def _split(text: str) -> tuple[str, str]:
    """Return host and ports of ``host``, ``host:port``, ``host:low-high``, ``[v6]:port`` or a bare v6 address."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or "*"
    if text.count(":") > 1:
        return text, "*"
    host, _, ports = text.partition(":")
    return host, ports or "*"
