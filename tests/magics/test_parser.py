"""Every sub-command's line, and what a wrong line says."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.magics.commands import ORDER, load_all
from workbench.magics.parser import BadSyntax, HelpAsked, build, number, percent, subset, whole
from workbench.magics.run import words

PARSER, SUBPARSERS = build("%mlops", load_all())


def parse_line(line: str) -> argparse.Namespace:
    return PARSER.parse_args(words(line))


LINES = [
    ("environment build m:int8 --to DIR", {}),
    ("reproduce sha256:ab12", {}),
    ("freeze minilm 2-1 --off", {"deployment": "minilm", "replica": "2-1", "off": True}),
    ("push m --shared-memory /m- --local-socket", {"shared_memory": "/m-", "local_socket": True}),
    ("backends", {}),
    (
        "prune digits --method nm --pattern 2:4 --heal 5s --train loader --eval accuracy --max-drop 0.01",
        {"method": "nm", "pattern": (2, 4), "amount": 0.5, "heal": 5.0, "train": "loader", "max_drop": 0.01},
    ),
    (
        "capture encoder --inputs batch --name minilm",
        {"model": "encoder", "inputs": "batch", "name": "minilm"},
    ),
    ("capture m.onnx", {"model": "m.onnx", "inputs": None, "state": None}),
    ("capture m:f --state w.safetensors --dynamic none --preprocess tok", {"state": "w.safetensors"}),
    (
        "quantize minilm --scheme int8 --calibrate texts --eval recall_at_1 --max-drop 0.01",
        {"artifact": "minilm", "calibrate": "texts", "eval": "recall_at_1", "max_drop": 0.01, "mode": "auto"},
    ),
    ("quantize minilm --skip 'head.*' emb --skip x", {"skip": ["head.*", "emb", "x"], "bg": False}),
    ("quantize minilm --mode static --calibrator entropy --bg --dry-run", {"bg": True, "dry_run": True}),
    (
        "quantize net --scheme ternary --ends float --heal 2m --train loader --loss f --distill",
        {
            "ends": "float",
            "heal": 120.0,
            "train": "loader",
            "loss": "f",
            "distill": True,
            "method": "optimal",
        },
    ),
    ("export lm:ternary out --format bitnet --config c.json", {"format": "bitnet", "config": "c.json"}),
    ("compile minilm:int8 --backend eager --threads 2", {"backend": "eager", "threads": 2, "target": ""}),
    ("compile m:ternary --backend ternary --target aarch64-neon", {"target": "aarch64-neon"}),
    ("profile minilm:int8 --probes cpu,sched --hz 499", {"probes": ("cpu", "sched"), "hz": 499}),
    ("profile --name before --hz 499", {"artifact": "", "name": "before"}),
    ("diff before minilm@profile", {"before": "before", "after": "minilm@profile"}),
    ("export before x.pb.gz", {"artifact": "before", "file": "x.pb.gz", "format": ""}),
    ("export before x --format chrome", {"format": "chrome"}),
    (
        "push minilm:int8 --to staging --canary 10%",
        {"canary": 0.1, "to": "staging", "port": 0, "replicas": 1},
    ),
    ("push minilm --port 8000 --replicas 2", {"canary": None, "port": 8000, "replicas": 2}),
    (
        "push minilm --max-batch 8 --grpc --memory 512MiB --cpus 0.5 --pids 64 --sign k --egress none",
        {
            "egress": "none",
            "max_batch": 8,
            "grpc": True,
            "memory": 512 << 20,
            "cpus": 0.5,
            "pids": 64,
            "sign": "k",
        },
    ),
    ("push minilm --registry http://127.0.0.1:5000", {"registry": "http://127.0.0.1:5000", "memory": 0}),
    (
        "pull http://127.0.0.1:5000/minilm:int8",
        {"reference": "http://127.0.0.1:5000/minilm:int8", "name": ""},
    ),
    ("pull http://h/m --out model --trust a.pub b.pub", {"out": "model", "trust": ["a.pub", "b.pub"]}),
    (
        "export kubernetes minilm:int8 --registry http://h:5000 --canary 10% --stable minilm --image w:1 --keda",
        {"artifact": "kubernetes", "file": "minilm:int8", "canary": 0.1, "stable": "minilm", "keda": True},
    ),
    ("key new signing-key", {"action": "new", "file": "signing-key"}),
    ("key list", {"action": "list", "file": ""}),
    ("status   # runs and deployments", {"deployment": ""}),
    ("status minilm", {"deployment": "minilm"}),
    ("watch minilm --for 10s --every 2s", {"deployment": "minilm", "time": 10.0, "every": 2.0}),
    ("pause minilm", {"deployment": "minilm", "off": False}),
    ("operators minilm --repeats 5", {"artifact": "minilm", "repeats": 5, "batch": 1}),
    ("asm minilm --layer encoder.0", {"artifact": "minilm", "layer": "encoder.0", "full": False}),
    ("promote minilm", {"deployment": "minilm"}),
    ("rollback minilm", {"deployment": "minilm"}),
    ("unstage minilm", {"deployment": "minilm"}),
    ("lineage minilm:int8", {"artifact": "minilm:int8"}),
    ("show minilm:int8@sha256:ab12", {"artifact": "minilm:int8@sha256:ab12"}),
    ("show", {"artifact": ""}),
    ("verify minilm", {"artifact": "minilm"}),
    ("runs --limit 3", {"limit": 3}),
    ("track --limit 3", {"run_id": "", "limit": 3}),
    ("sweep minilm --scheme int8,ternary --budget 10m", {"scheme": ("int8", "ternary"), "budget": 600.0}),
    ("sweep --resume s1", {"artifact": "", "resume": "s1", "backend": ("auto",)}),
    ("run flow --set n=3 name=a --executor ray", {"set": [("n", 3), ("name", "a")], "executor": "ray"}),
    ("mirror flow --against ray://h:1", {"pipeline": "flow", "against": "ray://h:1"}),
    ("logs r1", {"run_id": "r1"}),
    ("cancel r1", {"run_id": "r1"}),
    ("resume r1 --bg", {"run_id": "r1", "bg": True}),
    ("gc", {}),
    ("compare a b", {"artifacts": ["a", "b"]}),
    ("probe latency.bpf.c --seconds 2", {"file": "latency.bpf.c", "seconds": 2.0, "hz": 99}),
    ("collector status", {"action": "status", "enforce": False}),
    ("router start --socket /tmp/r.sock", {"action": "start", "socket": "/tmp/r.sock"}),
    ("doctor", {}),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line for line, _ in LINES])
def test_a_line_is_read(line: str, expected: dict[str, object]) -> None:
    args = parse_line(line)
    assert {key: getattr(args, key) for key in expected} == expected
    assert args.run.name == line.split()[0]


def test_every_command_has_a_line_here() -> None:
    assert {line.split()[0] for line, _ in LINES} == set(ORDER)


BAD = [
    ("quantise minilm", "no choice 'quantise': did you mean quantize?"),
    ("quantize", "the following arguments are required: artifact"),
    ("quantize minilm --scheme int9", "argument --scheme: no choice 'int9': did you mean int8?"),
    ("quantize minilm --mode zzz", "no choice 'zzz': choose from auto, static, dynamic"),
    ("quantize minilm --max-drop much", "'much' is not a number"),
    ("quantize minilm --max-drop nan", "'nan' is not a number"),
    ("help quantise", "no choice 'quantise': did you mean quantize?"),
    ("quantize minilm --max-drop -1", "-1 is below 0"),
    ("quantize minilm --sch int8", "unrecognized arguments: --sch int8"),
    ("quantize minilm --schem int8", "unrecognized arguments: --schem int8: did you mean --scheme?"),
    ("quantize minilm --max-drp=3 x", "unrecognized arguments: --max-drp=3 x: did you mean --max-drop?"),
    ("push minilm --canary 110%", "110 is above 100"),
    ("push minilm --replicas 0", "0 is below 1"),
    ("push minilm --port 1.5", "'1.5' is not a whole number"),
    ("push minilm --port 65536", "65536 is above 65535"),
    ("profile minilm --probes cpu,gpu", "no choice 'gpu': choose from cpu, sched, faults, syscalls"),
    ("profile minilm --probes ,", "no choice '': choose from cpu, sched, faults, syscalls"),
    ("runs --limit few", "'few' is not a whole number"),
    ("show 'minilm", "No closing quotation: show 'minilm"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_a_wrong_line_says_what_and_how(line: str, message: str) -> None:
    with pytest.raises(BadSyntax) as caught:
        parse_line(line)
    what, fix = str(caught.value).split("\n")
    assert message in what
    assert not what.startswith("argument COMMAND")  # a word of argparse, not of the user
    assert fix.startswith("  next:  ")


@pytest.mark.parametrize("line", ["quantize minilm --scheme int9", "quantize minilm --schem int8"])
def test_what_to_type_next_after_a_wrong_line_is_a_line_that_helps(line: str) -> None:
    with pytest.raises(BadSyntax) as caught:
        parse_line(line)
    fix = str(caught.value).rpartition("next:  ")[2]
    with pytest.raises(HelpAsked, match="--scheme"):
        parse_line(fix.removeprefix("%mlops "))


@pytest.mark.parametrize("line", ["", "help", "--help"])
def test_an_empty_line_lists_the_commands(line: str) -> None:
    with pytest.raises(HelpAsked, match="quantize a program"):
        parse_line(line)


def test_help_on_a_command_is_its_page() -> None:
    with pytest.raises(HelpAsked, match="--max-drop"):
        parse_line("help quantize")


def test_help_lists_every_command_with_its_summary() -> None:
    with pytest.raises(HelpAsked) as caught:
        parse_line("--help")
    page = " ".join(str(caught.value).split())  # argparse wraps at the terminal's width
    for command in load_all():
        assert f"{command.name} {command.summary}" in page


@pytest.mark.parametrize("name", ORDER)
def test_the_help_of_a_command_shows_examples_that_parse(name: str) -> None:
    with pytest.raises(HelpAsked, match="examples:"):
        parse_line(f"{name} --help")
    command = next(c for c in load_all() if c.name == name)
    for example in command.examples:
        assert parse_line(f"{name} {example}").run is command


def test_only_profile_and_probe_take_a_cell() -> None:
    assert [c.name for c in load_all() if c.takes_cell] == ["profile", "probe"]


@given(st.integers(0, 100))
def test_a_share_reads_the_same_as_percent_and_as_fraction(share: int) -> None:
    assert percent(f"{share}%") == pytest.approx(percent(str(share / 100)))


@given(st.lists(st.sampled_from(["cpu", "sched"]), min_size=1))
def test_a_comma_list_keeps_its_words(names: list[str]) -> None:
    assert subset(("cpu", "sched"))(", ".join(names)) == tuple(names)


@given(st.floats(0, 1))
def test_a_number_in_its_range_is_read(value: float) -> None:
    assert number(0, 1)(repr(value)) == value


@given(st.integers(max_value=-1))
def test_a_number_below_its_range_is_refused(value: int) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        whole(0)(str(value))


def test_choices_are_what_the_package_holds() -> None:
    from workbench.compile import backend_names

    backends = SUBPARSERS["compile"]._option_string_actions["--backend"].choices
    assert tuple(backends or ()) == (*backend_names(), "auto")
    schemes = SUBPARSERS["quantize"]._option_string_actions["--scheme"].choices
    assert {"int8", "none"} <= set(schemes or ())


def test_the_probes_are_those_of_the_tracer() -> None:
    from workbench.trace.recorder import DEFAULT_PROBES

    assert parse_line("profile minilm").probes == DEFAULT_PROBES


def test_no_argument_takes_the_place_of_the_command() -> None:
    _, subparsers = build("%mlops", load_all())
    assert [name for name, sub in subparsers.items() if "run" in sub.kinds] == []
