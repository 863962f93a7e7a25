"""The tables of the store.

Times are Unix seconds; owners are texts of :mod:`workbench.store.owner`; JSON columns hold canonical text.
"""

from __future__ import annotations

VERSION = 2

SCHEMA = """
CREATE TABLE artifacts (
    digest TEXT PRIMARY KEY, kind TEXT NOT NULL, size_bytes INTEGER NOT NULL, created_s REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX artifacts_by_kind ON artifacts (kind, created_s);

CREATE TABLE lineage (
    child TEXT NOT NULL, parent TEXT NOT NULL, PRIMARY KEY (child, parent)
) WITHOUT ROWID;
CREATE INDEX lineage_by_parent ON lineage (parent);

CREATE TABLE names (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL, updated_s REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX names_by_digest ON names (digest);

CREATE TABLE name_history (
    name TEXT NOT NULL, digest TEXT NOT NULL, updated_s REAL NOT NULL, PRIMARY KEY (name, digest)
) WITHOUT ROWID;

CREATE TABLE runs (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, recipe TEXT NOT NULL, executor TEXT NOT NULL,
    origin TEXT NOT NULL, state TEXT NOT NULL, driver TEXT NOT NULL, cancelling INTEGER NOT NULL DEFAULT 0,
    created_s REAL NOT NULL, finished_s REAL
) WITHOUT ROWID;
CREATE INDEX runs_by_time ON runs (created_s);

CREATE TABLE steps (
    run_id TEXT NOT NULL, position INTEGER NOT NULL, verb TEXT NOT NULL, state TEXT NOT NULL,
    owner TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 0, cached INTEGER NOT NULL DEFAULT 0,
    started_s REAL, finished_s REAL, result TEXT, error TEXT, PRIMARY KEY (run_id, position)
) WITHOUT ROWID;

CREATE TABLE run_artifacts (
    run_id TEXT NOT NULL, position INTEGER NOT NULL, role TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (run_id, position, role, digest)
) WITHOUT ROWID;
CREATE INDEX run_artifacts_by_digest ON run_artifacts (digest);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL,
    payload TEXT NOT NULL, created_s REAL NOT NULL
);
CREATE INDEX events_by_run ON events (run_id, seq);

CREATE TABLE measurements (
    digest TEXT NOT NULL, key TEXT NOT NULL, value REAL NOT NULL, unit TEXT NOT NULL, baseline TEXT NOT NULL,
    created_s REAL NOT NULL, PRIMARY KEY (digest, key)
) WITHOUT ROWID;

CREATE TABLE deployments (
    name TEXT NOT NULL, env TEXT NOT NULL, state TEXT NOT NULL, owner_uid INTEGER NOT NULL,
    updated_s REAL NOT NULL, PRIMARY KEY (name, env)
) WITHOUT ROWID;

CREATE TABLE operations (
    name TEXT NOT NULL, env TEXT NOT NULL, operation TEXT NOT NULL, owner TEXT NOT NULL, token TEXT NOT NULL,
    since_s REAL NOT NULL, PRIMARY KEY (name, env)
) WITHOUT ROWID;

CREATE TABLE cache (
    key TEXT PRIMARY KEY, result TEXT NOT NULL, created_s REAL NOT NULL
) WITHOUT ROWID;
"""
"""Version 1."""

_ORIGINS = """
CREATE TABLE environments (
    digest TEXT PRIMARY KEY, lock TEXT NOT NULL, created_s REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE origins (
    digest TEXT NOT NULL, run_id TEXT NOT NULL, position INTEGER NOT NULL, facts TEXT NOT NULL,
    created_s REAL NOT NULL, PRIMARY KEY (digest, run_id, position)
) WITHOUT ROWID;

CREATE TABLE run_sources (
    run_id TEXT NOT NULL, position INTEGER NOT NULL, facts TEXT NOT NULL, PRIMARY KEY (run_id, position)
) WITHOUT ROWID;

CREATE TABLE sweeps (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, plan TEXT NOT NULL, state TEXT NOT NULL, driver TEXT NOT NULL,
    created_s REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE trials (
    sweep TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, facts TEXT NOT NULL, updated_s REAL NOT NULL,
    PRIMARY KEY (sweep, key)
) WITHOUT ROWID;
"""

UPGRADES = {1: _ORIGINS}
"""What brings a store of an older version to the next one."""
