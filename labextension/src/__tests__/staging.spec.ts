import { describe, expect, it } from 'vitest';

import { offered, series, sparkline, StagingModel } from '../model/staging';
import { IReading } from '../tokens';
import { atOnce, deployment, FakeServer } from './fakes';

const reading = (errors: number, p50: number | null, p99: number | null): IReading => ({
  time_s: 1,
  tracks: { stable: { requests: 1, errors, p50_ms: p50, p99_ms: p99, rss_bytes: 2e6 } }
});

describe('StagingModel', () => {
  it('says what is being done and shows what came of it', async () => {
    const server = new FakeServer();
    const model = new StagingModel(server, atOnce);
    const seen: string[] = [];
    model.changed.connect(() => seen.push([...model.busy.values()].join()));
    server.staging = { deployments: [deployment('m')], operations: ['rollback'] };
    await model.operate('m', 'rollback');
    expect(seen).toEqual(['rollback', 'rollback', '']);
    expect(model.deployments[0].name).toBe('m');
    server.failure = 'busy';
    await expect(model.operate('m', 'rollback')).rejects.toThrow('busy');
    expect(model.busy.size).toBe(0);
  });

  it('takes what the stream says of it, and nothing else', () => {
    const model = new StagingModel(new FakeServer(), atOnce);
    model.take({ type: 'deployments', deployments: [deployment('m')], operations: ['promote'] });
    model.take({ type: 'reset', seq: 1 });
    expect([model.deployments.length, model.operations]).toEqual([1, ['promote']]);
  });
});

describe('series', () => {
  const history = [reading(0, null, null), reading(2, 1, 3), reading(2, 1, 4), reading(0, 1, 4)];

  it('turns counters into rates, also across a restart of the route', () => {
    expect(series(history, 'stable', 'errors')).toEqual([0, 2, 0, 0]);
  });

  it('leaves out readings before the first request and tracks that are not there', () => {
    expect(series(history, 'stable', 'latency')).toEqual([3, 4, 4]);
    expect(series(history, 'stable', 'jitter')).toEqual([2, 3, 3]);
    expect(series(history, 'stable', 'memory')).toEqual([2, 2, 2, 2]);
    expect(series(history, 'canary', 'latency')).toEqual([]);
  });
});

describe('sparkline', () => {
  it('spans the box from zero up', () => {
    expect(sparkline([0, 2], 100, 24, 2)).toBe('0.0,23.0 100.0,1.0');
    expect(sparkline([], 100, 24, 1)).toBe('');
  });

  it('draws one reading as a level line', () => {
    expect(sparkline([1], 100, 24, 2)).toBe('0.0,12.0 100,12.0');
  });
});

describe('offered', () => {
  it('offers to promote only a canary', () => {
    const all = ['promote', 'rollback', 'pause', 'continue', 'unstage'];
    const canary = deployment('m', ['stable', 'canary']);
    expect(offered(canary, all)).toEqual(['promote', 'rollback', 'unstage']);
    expect(offered({ ...canary, rollout: { weights: [10_000], paused: false } }, all)).toContain('pause');
    expect(offered({ ...canary, rollout: { weights: [10_000], paused: true } }, all)).toContain('continue');
  });

  it('offers to roll back only what has something to go back to', () => {
    const all = ['rollback', 'unstage'];
    const stable = deployment('m');
    expect(offered(stable, all)).toEqual(['unstage']);
    expect(offered({ ...stable, previous: true }, all)).toEqual(['rollback', 'unstage']);
    expect(offered({ ...stable, previous: true, phase: 'rolled-back' }, all)).toEqual(['unstage']);
  });
});
