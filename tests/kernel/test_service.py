"""The machine's collector: started, used by everybody, removed; nothing stays."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import workbench
from tests.kernel.asking import as_nobody
from workbench.bpf import service as services
from workbench.errors import InputError, NoPrivilege, ServeError, TraceError
from workbench.route.kernel.service import ROUTER
from workbench.trace import client, service

pytestmark = pytest.mark.bpf


@pytest.fixture
def path():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "run" / "collector.sock"
        yield path
        service.collector().remove(path)


def _gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_start_status_use_remove(path):
    assert workbench.collector("status", socket=str(path)).details["pid"] == 0
    shown = workbench.collector("start", socket=str(path))
    pid = shown.details["pid"]
    now = service.collector().status(path)
    assert (now.pid, now.user, now.capabilities) == (pid, 65534, ("CAP_PERFMON", "CAP_BPF"))
    assert now.rss_bytes < 40 << 20
    assert service.collector().start(path).pid == pid  # it runs already
    script = (
        "import os\nfrom workbench import trace\nwith trace.session(('syscalls',), tier='bpf') as r: os.getppid()\n"
        "print(sum(c.latency.count for c in r.trace.calls if c.name == 'getppid'))"
    )
    assert as_nobody(script, {client.SOCKET_VARIABLE: str(path)}).strip() == "1"
    assert service.collector().remove(path).pid == 0
    assert _gone(pid)
    assert list(path.parent.iterdir()) == []
    assert service.collector().remove(path).pid == 0  # and once more is no error


def test_it_outlives_who_started_it(path):
    script = (
        "from workbench.trace import service\nfrom pathlib import Path\n"
        f"print(service.collector().start(Path({str(path)!r})).pid)"
    )
    pid = int(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    )
    assert service.collector().status(path).pid == pid


def test_an_enforcing_one_has_one_right_more(path):
    assert service.collector(enforce=True).start(path).capabilities == (
        "CAP_PERFMON",
        "CAP_BPF",
        "CAP_NET_ADMIN",
    )


def test_without_rights_it_says_what_to_type():
    script = (
        "from workbench.trace import service\nfrom workbench.errors import NoPrivilege\nfrom pathlib import Path\n"
        "try: service.collector().start(Path('/tmp/none/collector.sock'))\nexcept NoPrivilege as error: print(error)"
    )
    assert "sudo mlops collector start" in as_nobody(script, {})


def test_a_place_where_nothing_can_listen(tmp_path):
    with pytest.raises(TraceError, match="cannot listen: AF_UNIX path too long"):
        service.collector().start(tmp_path / ("x" * 120) / "collector.sock")


def test_a_stranger_at_the_socket_is_not_stopped(path):
    import socket

    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(TraceError, match=f"process {os.getpid()} at that socket is no collector"):
            service.collector().remove(path)
    path.unlink()


def test_the_unit_gives_no_more_than_it_needs(path):
    text = service.collector().unit_text(path)
    assert f'"{sys.executable}" "-P" "-m" "workbench.trace.collector" "--socket" "{path}"' in text
    assert "CapabilityBoundingSet=CAP_BPF CAP_PERFMON CAP_SETUID CAP_SETGID CAP_SETPCAP\n" in text
    assert "NoNewPrivileges=yes" in text
    assert "CAP_NET_ADMIN" in service.collector(enforce=True).unit_text(path)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize(
    "one", [ROUTER, service.collector(), service.collector(enforce=True)], ids=lambda one: one.name
)
def test_systemd_understands_the_unit(one, tmp_path):
    unit = tmp_path / f"workbench-{one.name}.service"
    unit.write_text(one.unit_text(Path("/run/workbench") / f"{one.name}.sock"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_files_of_others_are_not_made_a_boot_service(monkeypatch, tmp_path):
    """With systemd, install would run our files as root at every boot."""
    monkeypatch.setattr(services, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(services.sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("")
    (tmp_path / "python").chmod(0o777)
    with pytest.raises(NoPrivilege, match="can be changed by users other than root"):
        service.collector().install(tmp_path / "collector.sock")


@pytest.mark.parametrize("name", ["errors.py", "route/kernel"])
def test_nor_is_a_package_with_one_file_or_folder_of_others(monkeypatch, tmp_path, name):
    """The process imports more than its own folder, and a folder's writer replaces what lies in it."""
    package = tmp_path / "workbench"
    (package / "route" / "kernel").mkdir(parents=True)
    (package / "errors.py").touch()
    (package / name).chmod(0o777)
    monkeypatch.setattr(services, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(services, "__file__", str(package / "bpf" / "service.py"))
    with pytest.raises(NoPrivilege, match=f"{name} can be changed by users other than root"):
        service.collector().install(tmp_path / "collector.sock")


def test_nor_is_a_package_with_a_link_that_leads_nowhere(monkeypatch, tmp_path):
    package = tmp_path / "workbench"
    (package / "bpf").mkdir(parents=True)
    (package / "extra.py").symlink_to(tmp_path / "absent.py")
    monkeypatch.setattr(services, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(services, "__file__", str(package / "bpf" / "service.py"))
    with pytest.raises(NoPrivilege, match=r"extra\.py cannot be looked at: No such file"):
        service.collector().install(tmp_path / "collector.sock")


def test_a_refusal_of_another_family_is_told_as_it_is(monkeypatch, tmp_path):
    said = json.dumps(ServeError("no port", fix="another").to_json())
    command = [sys.executable, "-c", f"import sys; print({said!r}, file=sys.stderr)"]
    monkeypatch.setattr(services.Service, "command", lambda self, path: command)
    with pytest.raises(ServeError, match="no port"):
        service.collector().start(tmp_path / "collector.sock")


def test_last_words_that_are_no_error_of_ours_are_shown(monkeypatch, tmp_path):
    command = [sys.executable, "-c", "import sys; print('null', file=sys.stderr)"]
    monkeypatch.setattr(services.Service, "command", lambda self, path: command)
    with pytest.raises(TraceError, match="the collector ended: null"):
        service.collector().start(tmp_path / "collector.sock")


def test_an_unknown_action():
    with pytest.raises(InputError, match="cannot 'restart'"):
        workbench.collector("restart")
