"""Tensors in shared memory: what a public client does with it, and what nobody can do with it."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve.conftest import LIMIT_S, RunningReplica
from workbench.errors import BadRequest
from workbench.serve.protocol import InferRequest, OutputWish, decode_request
from workbench.serve.shared_memory import Regions, Slice

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    http = pytest.importorskip("tritonclient.http")
    triton_grpc = pytest.importorskip("tritonclient.grpc")
    triton_shm = pytest.importorskip("tritonclient.utils.shared_memory")
    error_type = pytest.importorskip("tritonclient.utils").InferenceServerException

X = np.arange(8, dtype=np.float32).reshape(2, 4)
SIZE = 256


@pytest.fixture
def region() -> Iterator[shared_memory.SharedMemory]:
    one = shared_memory.SharedMemory(create=True, size=SIZE, name=f"mlops-test-{os.getpid()}")
    yield one
    one.close()
    one.unlink()


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[RunningReplica]:
    options = ("--grpc-port", "0", "--shared-memory", "mlops-test", "--max-body-mib", "1")
    running = RunningReplica(tmp_path_factory.mktemp("shared"), bundle, *options)
    try:
        yield running.wait_ready()
    finally:
        running.end()


@pytest.mark.parametrize("module", [http, triton_grpc], ids=["http", "grpc"])
def test_a_public_client_puts_inputs_and_outputs_in_memory(replica: RunningReplica, module: Any) -> None:
    port = replica.port if module is http else replica.ready["grpc_port"]
    memory = triton_shm.create_shared_memory_region("tensors", f"/mlops-test-{os.getpid()}-c", 2 * X.nbytes)
    with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
        try:
            triton_shm.set_shared_memory_region(memory, [X])
            client.register_system_shared_memory("tensors", f"/mlops-test-{os.getpid()}-c", 2 * X.nbytes)
            tensor = module.InferInput("x", [2, 4], "FP32")
            tensor.set_shared_memory("tensors", X.nbytes)
            wish = module.InferRequestedOutput("double")
            wish.set_shared_memory("tensors", X.nbytes, offset=X.nbytes)
            client.infer("tiny", [tensor], outputs=[wish])
            answer = triton_shm.get_contents_as_numpy(memory, np.float32, [4, 4])
            np.testing.assert_array_equal(answer, np.concatenate([X, 2 * X]))
            assert "tensors" in str(client.get_system_shared_memory_status())
        finally:
            client.unregister_system_shared_memory("tensors")
            triton_shm.destroy_shared_memory_region(memory)
        with pytest.raises(error_type, match="no region 'tensors'"):
            client.get_system_shared_memory_status("tensors")


def test_it_is_off_unless_asked_for(start: Callable[..., RunningReplica]) -> None:
    replica = start().wait_ready()
    with http.InferenceServerClient(f"127.0.0.1:{replica.port}") as client:
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        with pytest.raises(error_type, match="shared memory is off"):
            client.register_system_shared_memory("tensors", "/mlops-test", 8)
        tensor = http.InferInput("x", [2, 4], "FP32")
        tensor.set_shared_memory("tensors", X.nbytes)
        with pytest.raises(error_type, match="not supported by this server"):
            client.infer("tiny", [tensor])


def test_it_is_refused_on_an_address_that_others_reach(start: Callable[..., RunningReplica]) -> None:
    replica = start("--shared-memory", "mlops", "--host", "0.0.0.0")
    assert replica.process.wait(LIMIT_S) == 1
    assert "for clients on this machine" in replica.error_file.read_text()


@pytest.mark.parametrize(
    ("key", "offset", "size", "text"),
    [
        ("/mlops-test-absent", 0, 8, "cannot be opened"),
        ("/other-key", 0, 8, "may not be used"),
        ("/mlops-test/../../etc/passwd", 0, 8, "may not be used"),
        ("mlops-test", 0, 8, "may not be used"),
        ("", 0, 8, "may not be used"),
        ("{key}", 0, SIZE + 5000, "bytes"),
        ("{key}", SIZE, 4096, "bytes"),
        ("{key}", 2**62, 2**62, "bytes"),
        ("{key}", 0, 0, "at least one byte"),
    ],
)
def test_registration_is_bounded(
    region: shared_memory.SharedMemory, key: str, offset: int, size: int, text: str
) -> None:
    regions = Regions("mlops-test", 1 << 20)
    with pytest.raises(BadRequest, match=text):
        regions.register("r", key.replace("{key}", f"/{region.name}"), offset, size)
    assert len(regions) == 0


def test_links_and_other_things_in_the_folder_are_not_opened() -> None:
    link, pipe = f"/dev/shm/mlops-test-link-{os.getpid()}", f"/dev/shm/mlops-test-pipe-{os.getpid()}"
    os.symlink("/etc/passwd", link)
    os.mkfifo(pipe)
    try:
        for path, text in ((link, "cannot be opened"), (pipe, "not a shared memory object")):
            with pytest.raises(BadRequest, match=text):
                Regions("mlops", 1 << 20).register("r", "/" + Path(path).name, 0, 8)
    finally:
        os.unlink(link)
        os.unlink(pipe)


def test_a_region_that_shrinks_is_an_error_and_never_a_signal(region: shared_memory.SharedMemory) -> None:
    regions = Regions("mlops", 1 << 20)
    regions.register("r", f"/{region.name}", 0, SIZE)
    os.truncate(f"/dev/shm/{region.name}", 16)
    with pytest.raises(BadRequest, match="only 16 of 32 bytes"):
        regions.read(Slice("r", 0, 32))
    with pytest.raises(BadRequest, match="has shrunk"):
        regions.write(Slice("r", 0, 32), memoryview(bytes(32)))
    assert os.stat(f"/dev/shm/{region.name}").st_size == 16


def test_a_region_stays_open_for_the_request_that_uses_it(region: shared_memory.SharedMemory) -> None:
    regions = Regions("mlops", 1 << 20)
    regions.register("r", f"/{region.name}", 0, SIZE)
    used = regions.status("r")["r"]
    handles = len(os.listdir("/proc/self/fd"))
    regions.unregister()
    assert bytes(used.read(0, 4)) == bytes(4)
    assert len(os.listdir("/proc/self/fd")) == handles
    del used
    assert len(os.listdir("/proc/self/fd")) == handles - 1


@given(
    offset=st.integers(-8, SIZE + 8) | st.integers() | st.booleans() | st.text(max_size=2),
    size=st.integers(-8, SIZE + 8) | st.integers() | st.none(),
    shape=st.lists(st.integers(0, 9), max_size=3),
)
@settings(deadline=None, max_examples=400)
def test_no_place_leaves_its_region(offset: Any, size: Any, shape: list[int]) -> None:
    """Whatever is asked, either the very bytes come, or a bad request."""
    content = np.arange(SIZE, dtype=np.uint8)
    name = f"mlops-test-fuzz-{os.getpid()}"
    path = Path("/dev/shm") / name
    path.write_bytes(bytes(64) + content.tobytes() + bytes(64))
    try:
        regions = Regions("mlops", 1 << 20)
        regions.register("r", f"/{name}", 64, SIZE)  # what lies around it is not the client's to name
        place = {"shared_memory_region": "r", "shared_memory_offset": offset, "shared_memory_byte_size": size}
        tensor = {"name": "x", "datatype": "UINT8", "shape": shape, "parameters": place}
        wish = {"name": "y", "parameters": place}
        body = json.dumps({"inputs": [tensor], "outputs": [wish]}).encode()
        try:
            request: InferRequest = decode_request(body, None, regions)
        except BadRequest:
            return
        assert 0 <= offset <= offset + size <= SIZE
        np.testing.assert_array_equal(request.inputs["x"].reshape(-1), content[offset : offset + size])
        assert request.outputs == (OutputWish("y", False, Slice("r", offset, size)),)
    finally:
        path.unlink()
