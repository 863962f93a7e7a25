import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ISocket, PAUSES, Stream } from '../stream';
import { IEvent, Message } from '../tokens';

const event = (seq: number): IEvent => ({ seq, run_id: 'a', step: 0, kind: 'k', payload: {}, created_s: 1 });
const events = (...seqs: number[]): Message => ({ type: 'events', seq: Math.max(...seqs), events: seqs.map(event), runs: [] });

class Socket implements ISocket {
  onopen: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  constructor(readonly since: number) {}
  say(message: Message): void {
    this.onmessage!({ data: JSON.stringify(message) });
  }
  close(): void {
    this.onclose?.({});
  }
}

function made(missed: Message = { type: 'events', seq: 0, events: [], runs: [] }) {
  const sockets: Socket[] = [];
  const taken: Message[] = [];
  const live: boolean[] = [];
  const stream = new Stream({
    connect: since => {
      sockets.push(new Socket(since));
      return sockets[sockets.length - 1];
    },
    poll: async () => missed,
    take: message => taken.push(message),
    live: open => live.push(open)
  });
  return { stream, sockets, taken, live };
}

describe('Stream', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('asks for what comes after the last number it saw, also when it comes back', async () => {
    const { stream, sockets, live } = made();
    stream.start(5);
    sockets[0].onopen!({});
    sockets[0].say(events(6, 7));
    sockets[0].close();
    await vi.advanceTimersByTimeAsync(PAUSES[0]);
    expect(sockets.map(s => s.since)).toEqual([5, 7]);
    expect(live).toEqual([true, false]);
  });

  it('waits longer each time and begins anew after it was open', async () => {
    const { stream, sockets } = made();
    stream.start(0);
    sockets[0].close();
    await vi.advanceTimersByTimeAsync(PAUSES[0]);
    sockets[1].close();
    await vi.advanceTimersByTimeAsync(PAUSES[0]);
    expect(sockets).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(PAUSES[1] - PAUSES[0]);
    expect(sockets).toHaveLength(3);
    sockets[2].onopen!({});
    sockets[2].close();
    await vi.advanceTimersByTimeAsync(PAUSES[0]);
    expect(sockets).toHaveLength(4);
  });

  it('takes an event once, whichever way it came', async () => {
    const { stream, sockets, taken } = made(events(6, 7));
    stream.start(5);
    sockets[0].close();
    await vi.advanceTimersByTimeAsync(PAUSES[0]); // the plain request brings 6 and 7
    sockets[1].say(events(6, 7, 8));
    sockets[1].say(events(7, 8));
    const seqs = taken.flatMap(m => (m.type === 'events' ? m.events.map(e => e.seq) : []));
    expect(seqs).toEqual([6, 7, 8]);
    expect(stream.seq).toBe(8);
  });

  it('starts over after a reset and is silent after a stop', () => {
    const { stream, sockets, taken } = made();
    stream.start(5);
    sockets[0].say({ type: 'reset', seq: 9000 });
    expect(stream.seq).toBe(9000);
    stream.stop();
    sockets[0].say(events(9001));
    expect(taken).toEqual([{ type: 'reset', seq: 9000 }]);
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
  });
});
