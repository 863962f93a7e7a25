import { describe, expect, it } from 'vitest';

import { elapsed, isActive, isResumable, KEPT, progressOf, RunsModel } from '../model/runs';
import { IEvent, State } from '../tokens';
import { atOnce, FakeServer, run } from './fakes';

function event(seq: number, run_id: string, kind: string, payload = {}): IEvent {
  return { seq, run_id, step: 0, kind, payload, created_s: 1 };
}

async function loaded(...runs: ReturnType<typeof run>[]): Promise<{ server: FakeServer; model: RunsModel }> {
  const server = new FakeServer();
  server.list = runs;
  server.seq = 5;
  const model = new RunsModel(server, atOnce);
  expect(await model.load()).toBe(5);
  return { server, model };
}

describe('RunsModel', () => {
  it('lists newest first and filters by notebook', async () => {
    const { model } = await loaded(
      run('a', 'done', { created_s: 1, origin: 'x.ipynb' }),
      run('b', 'running', { created_s: 2 })
    );
    expect(model.list().map(r => r.id)).toEqual(['b', 'a']);
    expect(model.list('x.ipynb').map(r => r.id)).toEqual(['a']);
    expect(model.active).toBe(1);
  });

  it('folds progress into a run that moves, and leaves an ended one alone', async () => {
    const { model } = await loaded(run('a'), run('b', 'done'));
    const said = { message: 'calibrate', fraction: 0.5 };
    model.take({ type: 'events', seq: 7, runs: [], events: [event(6, 'a', 'step.progress', said), event(7, 'b', 'step.progress', said)] });
    expect(model.get('a')).toMatchObject(said);
    expect(model.get('b')!.message).toBeUndefined();
  });

  it('takes the rows of a message over what it had', async () => {
    const { model } = await loaded(run('a'));
    model.take({ type: 'events', seq: 6, events: [event(6, 'a', 'run.done')], runs: [run('a', 'done'), run('c', 'pending', { created_s: 9 })] });
    expect(model.list().map(r => `${r.id} ${r.state}`)).toEqual(['c pending', 'a done']);
  });

  it('keeps a bounded number', async () => {
    const { model } = await loaded();
    const many = Array.from({ length: KEPT + 50 }, (_, i) => run(`r${i}`, 'done', { created_s: i }));
    model.take({ type: 'runs', runs: many });
    expect(model.list()).toHaveLength(KEPT);
    expect(model.get('r0')).toBeUndefined();
    expect(model.list()[0].created_s).toBe(KEPT + 49);
  });

  it('tells a burst once a frame', async () => {
    const waiting: (() => void)[] = [];
    const server = new FakeServer();
    const model = new RunsModel(server, act => waiting.push(act));
    let told = 0;
    model.changed.connect(() => (told += 1));
    for (let i = 0; i < 100; i++) {
      model.take({ type: 'runs', runs: [run('a')] });
    }
    expect([waiting.length, told]).toEqual([1, 0]);
    waiting[0]();
    expect(told).toBe(1);
  });

  it('shows what a cancel and a resume left', async () => {
    const { model, server } = await loaded(run('a'));
    await model.cancel('a');
    expect(model.get('a')!.state).toBe('cancelled');
    await model.resume('a');
    expect(model.get('a')!.state).toBe('running');
    expect(server.asked).toEqual(['runs', 'cancel a', 'resume a']);
    await expect(model.cancel('zz')).rejects.toThrow('no run zz');
  });
});

describe('what a card shows', () => {
  it('offers to cancel what moves and to resume what stopped short', () => {
    const which = (test: (r: ReturnType<typeof run>) => boolean): State[] =>
      (['pending', 'running', 'done', 'failed', 'cancelled', 'interrupted'] as State[]).filter(s => test(run('a', s)));
    expect(which(isActive)).toEqual(['pending', 'running']);
    expect(which(isResumable)).toEqual(['failed', 'cancelled', 'interrupted']);
  });

  it('counts whole steps and the running one, never beyond the whole', () => {
    expect(progressOf(run('a', 'running', { fraction: 0.5 }))).toBe(0.75);
    expect(progressOf(run('a', 'done', { steps_done: 2, fraction: 0.5 }))).toBe(1);
    expect(progressOf(run('a', 'pending', { steps_total: 0 }))).toBe(0);
  });

  it('knows how long a run took, unless nobody saw its end', () => {
    expect(elapsed(run('a', 'done', { finished_s: 3 }), 99)).toBe(2);
    expect(elapsed(run('a', 'running'), 11)).toBe(10);
    expect(elapsed(run('a', 'interrupted'), 11)).toBeNull();
  });
});
