import { describe, expect, it, vi } from 'vitest';

import { partsOf } from '../parts';
import { explain } from '../explain';
import { Workbench } from '../model/workbench';
import { FakeServer, run } from './fakes';

describe('Workbench', () => {
  it('loads everything and knows where to replay from', async () => {
    const server = new FakeServer();
    server.list = [run('a')];
    server.seq = 42;
    const bench = new Workbench(server);
    expect(await bench.load()).toBe(42);
    expect(server.asked.sort()).toEqual(['deployments', 'models', 'profiles', 'runs', 'system']);
  });

  it('keeps what it showed when the server goes away, says why, and clears that later', async () => {
    const server = new FakeServer();
    server.list = [run('a')];
    const bench = new Workbench(server);
    await bench.load();
    server.failure = 'connection refused';
    await expect(bench.load()).rejects.toThrow('connection refused');
    expect([bench.ui.failure, bench.runs.list().length]).toEqual(['connection refused', 1]);
    server.failure = '';
    await bench.attempt(() => bench.runs.load());
    expect(bench.ui.failure).toBe('');
  });

  it('asks for models once after a burst of finished steps, and for all after a reset', async () => {
    vi.useFakeTimers();
    const server = new FakeServer();
    const bench = new Workbench(server);
    const done = { seq: 1, run_id: 'a', step: 0, kind: 'step.done', payload: {}, created_s: 1 };
    for (let i = 0; i < 5; i++) {
      bench.take({ type: 'events', seq: i, events: [done], runs: [] });
    }
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.asked).toEqual(['models', 'profiles']);
    bench.take({ type: 'reset', seq: 9 });
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.asked.slice(2).sort()).toEqual(['deployments', 'models', 'profiles', 'runs']);
    vi.useRealTimers();
  });

  it('shows runs of the notebook in front only when asked to', () => {
    const bench = new Workbench(new FakeServer());
    bench.ui.set({ notebook: 'a.ipynb' });
    expect(bench.ui.scope).toBe('');
    bench.ui.set({ filter: 'notebook' });
    expect(bench.ui.scope).toBe('a.ipynb');
    bench.ui.toggle('runs');
    expect(bench.ui.open.has('runs')).toBe(false);
  });
});

describe('explain', () => {
  it('uses the words of the workbench, else says what is wrong', () => {
    expect(explain(409, '{"error": "RunError", "message": "run r1 is done already"}')).toBe('run r1 is done already');
    expect(explain(404, '<html>')).toContain("pip install 'mlops-workbench[lab]'");
    expect(explain(502, '{"message": "Bad Gateway"}')).toBe('The server answered 502.');
  });
});

describe('partsOf', () => {
  it('reads one view or several parts', () => {
    const view = { view: 'histogram', data: {} };
    expect(partsOf(view)).toEqual([view]);
    expect(partsOf({ parts: [{ html: '<p>' }, view] })).toHaveLength(2);
  });
});
