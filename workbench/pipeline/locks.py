"""Environment locks that artifacts name: found again, and compared."""

from __future__ import annotations

from .. import codec
from ..errors import CorruptArtifact
from ..package.environment import EnvironmentLock, lock
from ..store import Store

_CONTENTS = "contents:"
Changed = tuple[str, str, str]
"""What differs: a package (or ``python``, ``platform``), its version before and after, empty when absent."""


def lock_of(store: Store, digest: str) -> EnvironmentLock | None:
    """Return the lock of a digest, None when this store never saw it.

    Raises
    ------
    CorruptArtifact
        If what is recorded is not what the digest says.
    """
    text = store.environments.get(digest)
    if text is None:
        return None
    found = codec.loads(text)
    if not isinstance(found, EnvironmentLock) or found.digest != digest:
        raise CorruptArtifact("the recorded environment is not the one its digest names", where=digest)
    return found


def note_contents(store: Store) -> None:
    """Record what each package of this environment holds: a digest over its files, once for an environment.

    It reads every package's list of files (a tenth of a second for 300), so only packing a model and
    ``environment`` ask.
    """
    from ..package.environments import contents

    current = lock()
    store.environments.note(current.digest, codec.dumps(current))
    if store.environments.get(_CONTENTS + current.digest) is None:
        store.environments.note(_CONTENTS + current.digest, codec.dumps(contents()))


def contents_of(store: Store, digest: str) -> dict[str, str]:
    """Return what :func:`note_contents` recorded of an environment; empty when nobody asked while it was this one."""
    text = store.environments.get(_CONTENTS + digest)
    return dict(codec.loads(text)) if text else {}


def changes(before: EnvironmentLock, after: EnvironmentLock) -> list[Changed]:
    """Return what differs between two environments, by name.

    Examples
    --------
    >>> one = EnvironmentLock("cpython 3.11.2", "linux x86_64", ("numpy==2.4.6", "torch==2.13.0"))
    >>> changes(one, EnvironmentLock("cpython 3.11.2", "linux x86_64", ("numpy==2.4.5",)))
    [('numpy', '2.4.6', '2.4.5'), ('torch', '2.13.0', '')]
    """
    old, new = (_versions(lock) for lock in (before, after))
    names = sorted(old.keys() | new.keys())
    return [(name, old.get(name, ""), new.get(name, "")) for name in names if old.get(name) != new.get(name)]


def _versions(lock: EnvironmentLock) -> dict[str, str]:
    packages = dict(line.partition("==")[::2] for line in lock.packages)
    return {**packages, "python": lock.python, "platform": lock.platform}
