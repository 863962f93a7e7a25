/**
 * The runs last seen, folded from the stream.
 *
 * Imports nothing of JupyterLab, so it is tested without a browser. It never asks a kernel: whatever the
 * panel shows comes from the store through the server, and is there with no notebook open.
 */
import { IRun, IServer, Message, State } from '../tokens';
import { Changing, Schedule } from './changes';

/** States that change without anyone's doing. */
const ACTIVE = new Set<State>(['pending', 'running']);

/** Most runs kept; the oldest go. */
export const KEPT = 1000;

/** Runs beyond those kept that may wait for a look at the list before they go. */
const SPARE = 200;

/** Bytes of a log's end that a card shows. */
const TAIL = 16 * 1024;

export class RunsModel extends Changing {
  constructor(server: IServer, schedule?: Schedule) {
    super(schedule);
    this._server = server;
  }

  /** Runs, newest first, of every notebook or of one. */
  list(notebook = ''): IRun[] {
    this._settle();
    return notebook ? this._runs.filter(run => run.origin === notebook) : this._runs;
  }

  get(id: string): IRun | undefined {
    return this._byId.get(id);
  }

  /** How many move. */
  get active(): number {
    this._settle();
    return this._runs.filter(isActive).length;
  }

  /** Ask for the list; return where to replay from. */
  async load(limit = 200): Promise<number> {
    const { runs, seq } = await this._server.runs(limit);
    this._byId.clear();
    this._stale = true;
    this._put(runs);
    return seq;
  }

  /** Take a message of the stream in. */
  take(message: Message): void {
    if (message.type !== 'events' && message.type !== 'runs') {
      return;
    }
    this._put(message.runs);
    if (message.type === 'events') {
      for (const event of message.events) {
        const run = this._byId.get(event.run_id);
        if (run && isActive(run) && event.kind === 'step.progress') {
          const { message: said, fraction } = event.payload as { message?: string; fraction?: number | null };
          this._byId.set(run.id, { ...run, message: said ?? run.message, fraction: fraction ?? null });
          this._stale = true;
        }
      }
      this.touch();
    }
  }

  async cancel(id: string): Promise<void> {
    this._put([await this._server.cancel(id)]);
  }

  async resume(id: string): Promise<void> {
    this._put([await this._server.resume(id)]);
  }

  /** The end of a run's log. */
  async tail(id: string): Promise<string> {
    return (await this._server.log(id, -TAIL)).text;
  }

  private _put(runs: readonly IRun[]): void {
    for (const run of runs) {
      this._byId.set(run.id, run);
    }
    this._stale ||= runs.length > 0;
    if (this._byId.size > KEPT + SPARE) {
      this._settle();
    }
    this.touch();
  }

  /** Bring the list up to date: when it is looked at, not with every message. */
  private _settle(): void {
    if (!this._stale) {
      return;
    }
    this._stale = false;
    const sorted = [...this._byId.values()].sort((a, b) => b.created_s - a.created_s || (a.id < b.id ? 1 : -1));
    for (const run of sorted.splice(KEPT)) {
      this._byId.delete(run.id);
    }
    this._runs = sorted;
  }

  private _byId = new Map<string, IRun>();
  private _runs: IRun[] = [];
  private _server: IServer;
  private _stale = false;
}

/** Return whether the run still moves, so that progress and a cancel button make sense. */
export function isActive(run: IRun): boolean {
  return ACTIVE.has(run.state);
}

/** Return whether going on with the run makes sense. */
export function isResumable(run: IRun): boolean {
  return run.state === 'failed' || run.state === 'cancelled' || run.state === 'interrupted';
}

/** Return the share of a run that is done, from 0 to 1: whole steps, and the running step's own share. */
export function progressOf(run: IRun): number {
  if (run.steps_total === 0) {
    return 0;
  }
  return Math.min(1, (run.steps_done + (isActive(run) ? (run.fraction ?? 0) : 0)) / run.steps_total);
}

/** Return how long a run took, or takes until `now_s`; null for one whose end nobody saw. */
export function elapsed(run: IRun, now_s: number): number | null {
  if (run.state === 'interrupted') {
    return null;
  }
  return Math.max(0, (run.finished_s ?? now_s) - run.created_s);
}
