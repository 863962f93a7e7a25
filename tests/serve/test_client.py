"""The client over connections that end too early: asked once more, and only once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from workbench.errors import ServeError
from workbench.serve.client import InferenceClient
from workbench.serve.protocol import InferAnswer, OutputWish, encode_answer

MESSAGE = encode_answer(InferAnswer("tiny", "1", {"y": np.ones(2, np.float32)}, ""), [OutputWish("y", True)])
HEADS = "".join(f"{name}: {value}\r\n" for name, value in dict(MESSAGE.headers).items())
WHOLE = f"HTTP/1.1 200 OK\r\n{HEADS}content-length: {len(MESSAGE.body)}\r\n\r\n".encode() + bytes(
    MESSAGE.body
)
RESET, NOTHING, HALF = b"RESET", b"", WHOLE[:-3]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[bytes]]]:
    """Answer each connection with the next of these, then close it; tell what was asked."""
    answers: list[bytes] = list(request.param)
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65536))
                if answer == RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                else:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    listener.close()
    thread.join(30)


def infer(url: str) -> np.ndarray:
    with InferenceClient(url, timeout_s=30) as client:
        return client.infer("tiny", {"x": np.zeros(2, np.float32)}).outputs["y"]


@pytest.mark.parametrize("server", [[cut, WHOLE] for cut in (RESET, NOTHING, HALF)], indirect=True)
def test_a_request_whose_replica_died_is_asked_again(server: tuple[str, list[bytes]]) -> None:
    url, asked = server
    assert infer(url).tolist() == [1, 1]
    assert len(asked) == 2


@pytest.mark.parametrize("server", [[NOTHING, HALF]], indirect=True)
def test_twice_is_reported(server: tuple[str, list[bytes]]) -> None:
    url, asked = server
    with pytest.raises(ServeError, match="IncompleteRead"):
        infer(url)
    assert len(asked) == 2
