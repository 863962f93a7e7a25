"""Progress in a real kernel stays under the cell that started the work, and ends in a final state."""

from __future__ import annotations

from typing import Any

START = """
import threading, time
from workbench.store import Event
from workbench.widgets.progress import NotebookProgress
progress = NotebookProgress("quantize minilm")
progress.open()
def work():
    for i in range(20):
        progress(Event(i, "r1", 0, "step.progress", {"message": "calibrate", "fraction": i / 20}, i / 10))
        time.sleep(0.02)
    print("a thread's own print goes wherever the kernel sends it", end="")
    progress(Event(20, "r1", -1, "run.done", {}, 2.0))
    progress.close()
thread = threading.Thread(target=work)
thread.start()
"""


def test_updates_from_a_thread_land_under_their_own_cell(notebook_run: Any) -> None:
    first, second = notebook_run(START, "thread.join(60); 'second'")
    shown = [o for o in first.outputs if o.output_type == "display_data"]
    assert [o.data["text/plain"] for o in shown] == ["quantize minilm  done in 2.0 s"]
    assert "<script" not in shown[0].data["text/html"]
    assert [o.output_type for o in second.outputs if o.output_type != "stream"] == ["execute_result"]


def test_no_more_than_five_states_a_second_and_the_last_is_final(kernel: Any) -> None:
    reply, messages = kernel.execute(START + "thread.join(60)")
    assert reply["status"] == "ok"
    states = [m["content"]["data"]["text/plain"] for m in messages if m["msg_type"].endswith("display_data")]
    assert states[0] == "quantize minilm  running"
    assert states[-1] == "quantize minilm  done in 2.0 s"
    assert len(states) < 20
