import { describe, expect, it } from 'vitest';

import { isActive, progressOf, RunsModel } from '../model';
import { IRun, IRunSource, State } from '../tokens';

function run(id: string, state: State = 'running', done = 1): IRun {
  return {
    id,
    state,
    title: `run ${id}`,
    executor: 'local',
    origin: '',
    cancelling: false,
    created_s: 1,
    finished_s: null,
    steps_total: 2,
    steps_done: done,
    steps_cached: 0
  };
}

/** A store in memory that may be told to fail. */
class Memory implements IRunSource {
  runs: IRun[] = [];
  failure = '';
  async list(): Promise<IRun[]> {
    if (this.failure) {
      throw new Error(this.failure);
    }
    return structuredClone(this.runs);
  }
  async cancel(id: string): Promise<void> {
    const found = this.runs.find(r => r.id === id);
    if (!found) {
      throw new Error(`no run ${id}`);
    }
    found.state = 'cancelled';
  }
}

function watched(): { memory: Memory; model: RunsModel; count: () => number } {
  const memory = new Memory();
  const model = new RunsModel(memory);
  let changes = 0;
  model.changed.connect(() => {
    changes += 1;
  });
  return { memory, model, count: () => changes };
}

describe('RunsModel', () => {
  it('starts empty', () => {
    const { model } = watched();
    expect(model.runs).toEqual([]);
    expect(model.failure).toBe('');
  });

  it('emits once for new runs and not at all for the same ones', async () => {
    const { memory, model, count } = watched();
    memory.runs = [run('b'), run('a')];
    await model.refresh();
    await model.refresh();
    expect(model.runs.map(r => r.id)).toEqual(['b', 'a']);
    expect(count()).toBe(1);
  });

  it('keeps the runs, shows the failure and rethrows it when the server is gone', async () => {
    const { memory, model } = watched();
    memory.runs = [run('a')];
    await model.refresh();
    memory.failure = 'connection refused';
    await expect(model.refresh()).rejects.toThrow('connection refused');
    expect(model.failure).toBe('connection refused');
    expect(model.runs).toHaveLength(1);
    memory.failure = '';
    await model.refresh();
    expect(model.failure).toBe('');
  });

  it('shows a run as cancelled after cancelling it', async () => {
    const { memory, model } = watched();
    memory.runs = [run('a')];
    await model.refresh();
    await model.cancel('a');
    expect(model.runs[0].state).toBe('cancelled');
  });

  it('shows why a cancel was refused, without throwing into the view', async () => {
    const { model } = watched();
    await model.cancel('zz');
    expect(model.failure).toBe('no run zz');
  });
});

describe('what a card shows', () => {
  it('offers to cancel only what still moves', () => {
    const active = (state: State) => isActive(run('a', state));
    expect((['pending', 'running'] as State[]).every(active)).toBe(true);
    expect((['done', 'failed', 'cancelled', 'interrupted'] as State[]).some(active)).toBe(false);
  });

  it('counts steps that are done', () => {
    expect(progressOf(run('a'))).toBe(0.5);
    expect(progressOf({ ...run('a', 'pending', 0), steps_total: 0 })).toBe(0);
  });
});
