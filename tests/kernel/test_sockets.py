"""Local sockets and who is at their other end."""

import os
import socket

import pytest

from workbench.bpf.sockets import dial, peer


def test_a_path_longer_than_a_socket_may_have(tmp_path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    handle = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"/proc/self/fd/{handle}/short")
        os.close(handle)
        listener.listen()
        with dial(str(folder / "short")) as line:
            assert peer(line)[:2] == (os.getpid(), os.getuid())


def test_nobody_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        dial(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        dial(str(tmp_path / "no-folder" / "none"))
