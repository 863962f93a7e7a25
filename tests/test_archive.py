"""The program archive: whole, deterministic, and unable to run code while it is loaded."""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from tests.networks import build
from workbench import archive
from workbench.errors import CorruptArtifact

PROGRAM, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


@pytest.fixture(scope="module")
def program():
    module, inputs = build("perceptron")
    batch = torch.export.Dim("batch")
    return torch.export.export(module.eval(), (inputs,), dynamic_shapes=({0: batch},))


@pytest.fixture
def saved(tmp_path, program):
    archive.save(program, tmp_path / "program.pt2")
    return tmp_path / "program.pt2"


def rewrite(path, change):
    """Let `change` edit the records (name without root -> bytes) of an archive."""
    with zipfile.ZipFile(path) as old:
        records = {n.partition("/")[2]: old.read(n) for n in old.namelist()}
    change(records)
    with zipfile.ZipFile(path, "w") as new:
        for name, data in records.items():
            new.writestr(f"program/{name}", data)


def edit_program(path, change):
    def edit(records):
        data = json.loads(records[PROGRAM])
        change(data)
        records[PROGRAM] = json.dumps(data).encode()

    rewrite(path, edit)


def test_round_trip(saved, program):
    x = torch.randn(5, 4)
    torch.testing.assert_close(archive.load(saved).module()(x), program.module()(x))
    assert archive.namespaces(saved) == {"aten"}


def test_torch_reads_it_too(saved, program):
    x = torch.randn(5, 4)
    torch.testing.assert_close(torch.export.load(saved).module()(x), program.module()(x))


def test_equal_programs_have_equal_bytes_under_any_name(tmp_path, saved, program):
    archive.save(program, tmp_path / "other.pt2")
    assert (tmp_path / "other.pt2").read_bytes() == saved.read_bytes()


def test_holds_no_paths_and_no_pickle(saved):
    data = saved.read_bytes()
    assert b"site-packages" not in data
    assert __file__.encode() not in data
    with zipfile.ZipFile(saved) as file:
        assert file.read("program/data/sample_inputs/model.pt") == b""


def test_weights_lie_uncompressed_at_aligned_offsets(saved, program):
    data = saved.read_bytes()
    with zipfile.ZipFile(saved) as file:
        weight = file.getinfo("program/data/weights/weight_0")
        assert weight.compress_type == zipfile.ZIP_STORED
    head = weight.header_offset
    start = head + 30 + int.from_bytes(data[head + 26 : head + 28], "little")
    start += int.from_bytes(data[head + 28 : head + 30], "little")
    assert start % 64 == 0
    expected = program.state_dict["0.weight"].detach().numpy().tobytes()
    assert data[start : start + weight.file_size] == expected


@pytest.mark.parametrize("keep", [0, 100, -200, -1])
def test_truncated(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CorruptArtifact, match="cannot be read") as caught:
        archive.load(saved)
    assert caught.value.where == str(saved)


def test_missing(tmp_path):
    with pytest.raises(CorruptArtifact, match="the file is missing"):
        archive.load(tmp_path / "program.pt2")


def test_a_flipped_bit_in_the_weights_is_noticed(saved, program):
    data = bytearray(saved.read_bytes())
    data[data.index(program.state_dict["2.weight"].detach().numpy().tobytes()) + 5] ^= 1
    saved.write_bytes(bytes(data))
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        archive.load(saved)


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path):
    mark = tmp_path / "was-run"
    yield Payload(mark)
    assert not mark.exists()


def dumped(payload):
    stream = io.BytesIO()
    torch.save(payload, stream)
    return stream.getvalue()


def test_pickled_example_inputs_are_refused(saved, trap):
    rewrite(saved, lambda records: records.update({"data/sample_inputs/model.pt": dumped(trap)}))
    with pytest.raises(CorruptArtifact, match="refused to load pickled example inputs"):
        archive.load(saved)


def test_pickled_weights_are_refused(saved, trap):
    def plant(records):
        config = json.loads(records[WEIGHTS])
        config["config"]["0.weight"]["use_pickle"] = True
        records[WEIGHTS] = json.dumps(config).encode()
        records["data/weights/weight_0"] = dumped(trap)

    rewrite(saved, plant)
    with pytest.raises(CorruptArtifact, match=r"refused to load the pickled tensor '0.weight'"):
        archive.load(saved)


@pytest.mark.parametrize(
    "record",
    ["data/weights/model.pt", "data/constants/model.pt", "data/constants/custom_obj_0",
     "data/constants/opaque_obj_0", "data/aotinductor/model/lib.so", "extra/anything", "models/other.json"],
)  # fmt: skip
def test_foreign_records_are_refused(saved, trap, record):
    rewrite(saved, lambda records: records.update({record: pickle.dumps(trap)}))
    with pytest.raises(CorruptArtifact, match="refused to load the record"):
        archive.load(saved)


def test_constants_must_be_tensors(saved):
    def plant(records):
        payload = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}
        records["data/constants/model_constants_config.json"] = json.dumps(
            {"config": {"c": payload}}
        ).encode()

    rewrite(saved, plant)
    with pytest.raises(CorruptArtifact, match="refused to load the pickled tensor 'c'"):
        archive.load(saved)


def test_a_program_torch_cannot_use_is_a_clear_error(saved):
    edit_program(saved, lambda data: data["graph_module"]["graph"].update(nodes=[]))
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        archive.load(saved)


def test_nothing_is_left_beside_the_file(saved):
    assert [p.name for p in saved.parent.iterdir()] == ["program.pt2"]


_FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from workbench import archive
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8)).eval()
program = torch.export.export(net, (torch.zeros(1, 64),))
path = Path(sys.argv[1]) / "program.pt2"
archive.save(program, path)
whole = path.stat().st_size
path.unlink()
for part in range(0, 40):
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole * part // 40, resource.RLIM_INFINITY))
    try:
        archive.save(program, path)
    except OSError:
        continue
    raise SystemExit(f"no error with {part} of 40 parts of the room")
print(sorted(path.parent.iterdir()))
"""


def test_a_file_that_cannot_grow_is_an_error_wherever_it_ends(tmp_path):
    """Torch's own writer aborts the process where its last records do not fit."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr[-2000:]
