"""libbpf.so.1 itself: the calls used here with their types, and what it last complained about."""

from __future__ import annotations

import ctypes as c
import os
from typing import Any

from ..errors import MissingDependency, NoPrivilege, TraceError

POINTER = c.c_void_p
_PRINT = c.CFUNCTYPE(c.c_int, c.c_int, c.c_char_p, c.c_void_p)
SAMPLE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_size_t)
_WARNING = 0
_TEXT_BYTES = 8192
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_set_print": (POINTER, [_PRINT]),
    "bpf_object__open_mem": (POINTER, [c.c_char_p, c.c_size_t, POINTER]),
    "bpf_object__load": (c.c_int, [POINTER]),
    "bpf_object__close": (None, [POINTER]),
    "bpf_object__find_map_by_name": (POINTER, [POINTER, c.c_char_p]),
    "bpf_object__find_program_by_name": (POINTER, [POINTER, c.c_char_p]),
    "bpf_map__fd": (c.c_int, [POINTER]),
    "bpf_map__key_size": (c.c_uint32, [POINTER]),
    "bpf_map__value_size": (c.c_uint32, [POINTER]),
    "bpf_map__reuse_fd": (c.c_int, [POINTER, c.c_int]),
    "bpf_program__attach": (POINTER, [POINTER]),
    "bpf_program__attach_perf_event_opts": (POINTER, [POINTER, c.c_int, POINTER]),
    "bpf_program__attach_iter": (POINTER, [POINTER, POINTER]),
    "bpf_program__attach_netns": (POINTER, [POINTER, c.c_int]),
    "bpf_program__attach_cgroup": (POINTER, [POINTER, c.c_int]),
    "bpf_program__fd": (c.c_int, [POINTER]),
    "bpf_program__set_expected_attach_type": (c.c_int, [POINTER, c.c_int]),
    "bpf_prog_attach": (c.c_int, [c.c_int, c.c_int, c.c_int, c.c_uint]),
    "bpf_prog_test_run_opts": (c.c_int, [c.c_int, POINTER]),
    "bpf_map__pin": (c.c_int, [POINTER, c.c_char_p]),
    "bpf_obj_pin": (c.c_int, [c.c_int, c.c_char_p]),
    "bpf_link__pin": (c.c_int, [POINTER, c.c_char_p]),
    "bpf_obj_get_opts": (c.c_int, [c.c_char_p, POINTER]),
    "bpf_link__fd": (c.c_int, [POINTER]),
    "bpf_link__destroy": (c.c_int, [POINTER]),
    "bpf_iter_create": (c.c_int, [c.c_int]),
    "bpf_map_lookup_elem": (c.c_int, [c.c_int, POINTER, POINTER]),
    "bpf_map_get_next_key": (c.c_int, [c.c_int, POINTER, POINTER]),
    "bpf_map_delete_elem": (c.c_int, [c.c_int, POINTER]),
    "bpf_map_update_elem": (c.c_int, [c.c_int, POINTER, POINTER, c.c_uint64]),
    "ring_buffer__new": (POINTER, [c.c_int, SAMPLE, POINTER, POINTER]),
    "ring_buffer__consume": (c.c_int, [POINTER]),
    "ring_buffer__free": (None, [POINTER]),
}


class Library:
    """The loaded libbpf and what it last complained about."""

    def __init__(self) -> None:
        try:
            self.calls = c.CDLL("libbpf.so.1", use_errno=True)
        except OSError as error:
            raise MissingDependency(
                "libbpf.so.1 is not installed", where="libbpf", fix="apt-get install libbpf1"
            ) from error
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self.calls, name)
            function.restype, function.argtypes = result, arguments
        self._libc = c.CDLL(None)
        self._libc.vsnprintf.argtypes = [c.c_char_p, c.c_size_t, c.c_char_p, c.c_void_p]
        self.log: list[str] = []
        self._print = _PRINT(self._keep_warning)  # ctypes callbacks must outlive their use
        self.calls.libbpf_set_print(self._print)

    def _keep_warning(self, level: int, form: bytes, arguments: int) -> int:
        if level <= _WARNING:
            text = c.create_string_buffer(_TEXT_BYTES)
            self._libc.vsnprintf(text, _TEXT_BYTES, form, arguments)
            self.log = [*self.log[-20:], text.value.decode(errors="replace").strip()]
        return 0

    def failure(self, what: str, where: str, code: int = 0) -> TraceError:
        """Return the error for a failed call: no rights, or what libbpf said."""
        number = code or c.get_errno()
        said = self.log[-1] if self.log else os.strerror(number)
        if number in (1, 13) and "verif" not in said.lower() and "-- END PROG" not in said:
            return NoPrivilege(
                f"the kernel refused to {what}: {os.strerror(number)}",
                where=where,
                fix="run as root, or give this process CAP_BPF and CAP_PERFMON",
            )
        return TraceError(f"cannot {what}: {os.strerror(number)}: {said}"[-1500:], where=where)
