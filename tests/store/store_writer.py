"""``python store_writer.py HOME TAG COUNT THREADS``: write things, and print a line for each."""

import os
import sys
import threading
from pathlib import Path

from workbench.store import ArtifactDraft, Store

PAYLOAD = "x" * 20_000


def write(store, tag, count):
    for number in range(count):
        folder = store.scratch()
        (folder / "own.txt").write_text(f"{tag} {number} {PAYLOAD}")
        (folder / "shared.txt").write_text(f"{number % 7} {PAYLOAD}")
        digest = store.artifacts.put(ArtifactDraft("data", folder))
        store.names.set(f"{tag}-{number}", digest)
        run = store.runs.create("[]", ["call"], title=tag)
        store.events.append(run, 0, "step.progress", {"tag": tag, "number": number})
        store.measurements.set(digest, "n", number, "count")
        os.write(1, f"{tag}-{number} {digest} {run}\n".encode())  # print would mix the lines of threads


def main(home, tag, count, threads):
    store = Store(Path(home))
    workers = [
        threading.Thread(target=write, args=(store, f"{tag}.{n}", int(count))) for n in range(int(threads))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
