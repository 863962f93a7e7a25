from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import InputError, MissingInput
from workbench.route.kernel.syscalls import FORBIDDEN, bits_of, name_of, number_of
from workbench.route.policy import Budget
from workbench.route.slo import parse


def test_a_line_names_what_it_limits() -> None:
    assert parse("service_p<5ms, rss<+64MiB, hang<50ms") == Budget(
        latency_ms=5.0, memory_bytes=64 << 20, hang_ms=50.0
    )
    assert parse("errors<4,runq<500us,syscalls=ptrace+bpf") == Budget(
        4, jitter_ms=0.5, syscalls=("ptrace", "bpf")
    )
    assert parse("syscalls=none").syscalls == ()
    assert parse("") == Budget()


def test_a_file_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('[slo]\nservice_p = "5ms"\nerrors = 4\nrss = "+1GiB"\nsyscalls = ["ptrace"]\n')
    assert parse(str(file)) == Budget(4, latency_ms=5.0, memory_bytes=1 << 30, syscalls=("ptrace",))
    file.write_text("[slo")
    with pytest.raises(InputError, match="not TOML"):
        parse(str(file))
    with pytest.raises(MissingInput, match="cannot be read"):
        parse(str(tmp_path / "absent.toml"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("latency", "no term of a policy"),
        ("size<5ms", "nothing a policy limits"),
        ("service_p<5MiB", "is no time"),
        ("service_p<soon", "no number with a unit"),
        ("rss<5ms", "is no size"),
        ("errors<1.5", "is no count"),
        ("errors<0", "1 to 64 breaches"),
        ("syscalls=fly", "no system call a policy can forbid"),
    ],
)
def test_what_is_no_policy(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse(text)


@given(st.sets(st.sampled_from(FORBIDDEN)))
def test_the_bits_are_the_calls(names: set[str]) -> None:
    words = bits_of(names)
    found = {name_of(64 * at + bit) for at, word in enumerate(words) for bit in range(64) if word >> bit & 1}
    assert found == names
    assert all(number_of(name) < 512 for name in names)
