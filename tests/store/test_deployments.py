"""Deployments: their state, and the lock that lets one operation at a time change them."""

import subprocess
import sys
import threading

import pytest

from workbench.errors import DeploymentBusy, UnknownDeployment

HOLDER = """
import sys, time, pathlib
from workbench.store import Store
with Store(pathlib.Path(sys.argv[1])).deployments.operation("minilm", "staging", "push"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(store):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_state_by_name_and_environment(store):
    store.deployments.put("minilm", "staging", {"version": 1})
    store.deployments.put("minilm", "staging", {"version": 2})
    store.deployments.put("minilm", "production", {"version": 0})
    assert store.deployments.get("minilm", "staging").state == {"version": 2}
    assert [(d.name, d.env) for d in store.deployments.list()] == [
        ("minilm", "production"),
        ("minilm", "staging"),
    ]
    store.deployments.remove("minilm", "staging")
    with pytest.raises(UnknownDeployment, match="nothing named 'minilm' is deployed to staging") as caught:
        store.deployments.get("minilm", "staging")
    assert "minilm (production)" in caught.value.fix


def test_two_operations_at_once_are_refused(store, holder):
    with (
        pytest.raises(
            DeploymentBusy, match=f"push of 'minilm' to staging is running \\(pid {holder.pid}"
        ) as caught,
        store.deployments.operation("minilm", "staging", "rollback"),
    ):
        pytest.fail("the lock was given twice")
    assert caught.value.fields == {"operation": "push", "pid": holder.pid}


def test_another_deployment_is_free(store, holder):
    with store.deployments.operation("digits", "staging", "push"):
        pass


def test_the_lock_of_a_killed_holder_is_taken_over(store, holder):
    holder.kill()
    holder.wait()
    with store.deployments.operation("minilm", "staging", "push"):
        pass


def test_threads_of_one_process_exclude_each_other(store):
    refused = []

    def push():
        try:
            with store.deployments.operation("minilm", "staging", "push"):
                pass
        except DeploymentBusy as error:
            refused.append(error)

    with store.deployments.operation("minilm", "staging", "push"):
        thread = threading.Thread(target=push)
        thread.start()
        thread.join(30)
    assert len(refused) == 1


def test_the_lock_is_released_when_the_operation_fails(store):
    with pytest.raises(ZeroDivisionError), store.deployments.operation("minilm", "staging", "push"):
        _ = 1 / 0
    with store.deployments.operation("minilm", "staging", "push"):
        pass
