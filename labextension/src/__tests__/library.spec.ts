import { describe, expect, it } from 'vitest';

import { lines, next } from '../lines';
import { bytes, figuresOf, LibraryModel, nameOf, treeOf } from '../model/library';
import { frontier } from '../view/frontier';
import { artifact, atOnce, FakeServer, run } from './fakes';

const family = [
  artifact('m:int8/onnxruntime', 'compiled', ['sha256:m:int8']),
  artifact('m:int8', 'variant', ['sha256:m'], { figures: { score: 0.971234, latency_ms: 0.2, size_bytes: 1e6 } }),
  artifact('m'),
  artifact('lost', 'variant', ['sha256:gone'])
];

describe('the tree', () => {
  it('puts each artifact under what it was made from', () => {
    const roots = treeOf(family);
    expect(roots.map(n => nameOf(n.artifact))).toEqual(['m', 'lost']);
    expect(roots[0].children[0].children[0].artifact.kind).toBe('compiled');
  });

  it('hangs refusals on their program', () => {
    const refusal = { run: 'r', program: 'sha256:m', scheme: 'int4', what: 'dropped', created_s: 1 };
    expect(treeOf(family, [refusal])[0].refusals).toEqual([refusal]);
  });

  it('stands an artifact that names itself as parent', () => {
    expect(treeOf([artifact('x', 'program', ['sha256:x'])])).toHaveLength(1);
  });
});

describe('LibraryModel', () => {
  it('forgets a choice that is gone and asks again after what makes artifacts', async () => {
    const server = new FakeServer();
    server.library = { models: family, refusals: [] };
    const model = new LibraryModel(server, atOnce);
    await model.load();
    model.choose('sha256:m');
    model.choose('sha256:lost');
    server.library = { models: family.slice(0, 3), refusals: [] };
    await model.load();
    expect([...model.chosen]).toEqual(['sha256:m']);
    model.choose('sha256:m');
    expect(model.chosen.size).toBe(0);
    const event = { seq: 1, run_id: 'a', step: 0, payload: {}, created_s: 1 };
    expect(model.concerns({ type: 'events', seq: 1, runs: [], events: [{ ...event, kind: 'step.done' }] })).toBe(true);
    expect(model.concerns({ type: 'events', seq: 1, runs: [], events: [{ ...event, kind: 'step.progress' }] })).toBe(false);
  });
});

describe('what a row shows', () => {
  it('prefers a name that is no alias', () => {
    expect(nameOf(artifact('x', 'package', [], { names: ['m@staging', 'm:int8'] }))).toBe('m:int8');
    expect(nameOf(artifact('x', 'package', [], { names: [], digest: 'sha256:0123456789abcdef' }))).toBe('sha256:0123456789ab');
  });

  it('shows score, latency and size', () => {
    expect(figuresOf(family[1])).toEqual({ score: 0.971234, latency: '0.2 ms', size: '1 MB' });
    expect([bytes(12), bytes(1500), bytes(2.5e9)]).toEqual(['12 B', '1.5 kB', '2.5 GB']);
  });
});

describe('lines', () => {
  it('say what comes next', () => {
    expect(family.slice(0, 3).map(next)).toEqual([
      '%mlops push m:int8/onnxruntime --to staging',
      '%mlops compile m:int8',
      '%mlops quantize m --scheme int8'
    ]);
  });

  it('repeat what was typed, a shell line as a magic', () => {
    expect(lines.again(run('a', 'done', { line: 'mlops quantize m' }))).toBe('%mlops quantize m');
    expect(lines.again(run('a', 'done', { line: '%%mlops profile m' }))).toBe('%%mlops profile m');
    expect(lines.again(run('a', 'failed'))).toBe('%mlops resume a');
  });
});

describe('frontier', () => {
  it('keeps what nothing beats in both', () => {
    const points = [
      { name: 'big', cost: 9, score: 0.97 },
      { name: 'best', cost: 8, score: 0.98 },
      { name: 'small', cost: 2, score: 0.9 },
      { name: 'worse', cost: 3, score: 0.8 }
    ];
    expect(frontier(points).map(p => p.name)).toEqual(['small', 'best']);
    expect(frontier([])).toEqual([]);
  });
});
