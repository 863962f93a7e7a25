"""What lineage costs in a store of many artifacts: queries both ways, a page of runs, gc; and a model as an image.

The graph is ten programs, each with variants, each with compiled artifacts: 10,000 in all (1,000 when quick), one
run each. ``gc`` collects half of them; its cost an artifact is taken at two sizes, since it should not grow.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path

from workbench import codec
from workbench.package import lock, pack
from workbench.package.environments import build_image
from workbench.store import ArtifactDraft, Store
from workbench.types import Manifest, Signature

from ..harness import interleave, timed_ms
from ..samples import Samples

ROOTS, MODEL_BYTES = 10, 25_000_000


def run(samples: Samples, *, quick: bool) -> None:
    """Measure; 3 rounds when quick, else 11."""
    count, rounds = (1000, 3) if quick else (10_000, 11)
    with tempfile.TemporaryDirectory() as folder:
        store, digests = _filled(Path(folder) / "home", count)
        contenders = {
            "upstream.ms": lambda: timed_ms(lambda: store.lineage(digests[-1])),
            "downstream.ms": lambda: timed_ms(lambda: store.lineage(digests[0], "downstream")),
            "runs_page.ms": lambda: timed_ms(lambda: store.runs.list(100)),
        }
        interleave(samples, contenders, rounds)
        for size in (count // 10, count):
            other, _ = _filled(Path(folder) / f"gc{size}", size)
            took = timed_ms(lambda other=other: other.gc(grace_s=0))  # type: ignore[misc]
            samples.add(f"gc_{'small' if size < count else 'large'}.ms_per_artifact", took / size)
            other.close()
        samples.ratio("gc.large_over_small", "gc_large.ms_per_artifact", "gc_small.ms_per_artifact")
        package = _package(Path(folder))
        for turn in range(rounds):
            out = Path(folder) / f"image{turn}"
            samples.add("image_25mb.ms", timed_ms(lambda out=out: build_image(out, model=package, name="m")))  # type: ignore[misc]
        store.close()


def _filled(home: Path, count: int) -> tuple[Store, list[str]]:
    """Return a store with artifacts of one tiny file each: rows and folders as ``put`` leaves them."""
    store = Store(home)
    scratch = store.scratch()
    (scratch / "f").write_text("x")
    first = store.artifacts.put(ArtifactDraft("program", scratch))
    files, now = store.artifacts.manifest(first).files, time.time() - 3600
    digests: list[str] = []
    with store.database.transaction() as connection:
        for number in range(count):
            parents = (digests[(number - ROOTS) // ROOTS],) if number >= ROOTS else ()
            text = codec.dumps(
                Manifest("data", files, parents=parents, metrics={"n": float(number)})
            ).encode()
            digest = "sha256:" + hashlib.sha256(text).hexdigest()
            folder = home / "artifacts" / digest.removeprefix("sha256:")
            folder.mkdir()
            (folder / "manifest.json").write_bytes(text)
            connection.execute("INSERT INTO artifacts VALUES (?, 'data', 1, ?)", (digest, now + number / 1e3))
            connection.executemany("INSERT INTO lineage VALUES (?, ?)", [(digest, one) for one in parents])
            run_id = f"r{number:010x}"
            connection.execute(
                "INSERT INTO runs (id, title, recipe, executor, origin, state, driver, created_s)"
                " VALUES (?, 't', '{}', 'local', '', 'done', '', ?)",
                (run_id, now + number / 1e3),
            )
            connection.execute(
                "INSERT INTO steps (run_id, position, verb, state) VALUES (?, 0, 'call', 'done')", (run_id,)
            )
            if number % 2:
                connection.execute("INSERT INTO run_artifacts VALUES (?, 0, 'output', ?)", (run_id, digest))
            digests.append(digest)
    return store, digests


def _package(folder: Path) -> Path:
    """Write the layout of a packed model of 25 MB."""
    model = folder / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(hashlib.shake_128(b"weights").digest(MODEL_BYTES))
    (model / "signature.json").write_text(codec.dumps(Signature((), ())))
    (model / "backend.json").write_text('{"backend": "eager"}')
    packed = folder / "packed"
    manifest = Manifest("compiled", (), signature=Signature((), ()))
    pack(model, packed, manifest=manifest, lineage={}, environment=lock(), name="m")
    return packed
