/** What is staged, how it did lately, and the operations on it. */
import { IDeployment, IReading, IServer, IStaging, Message } from '../tokens';
import { Changing, Schedule } from './changes';

/** What a sparkline shows of a track. */
export type Measure = 'latency' | 'jitter' | 'errors' | 'memory';

export class StagingModel extends Changing {
  constructor(server: IServer, schedule?: Schedule) {
    super(schedule);
    this._server = server;
  }

  get deployments(): readonly IDeployment[] {
    return this._staging.deployments;
  }

  get operations(): readonly string[] {
    return this._staging.operations;
  }

  /** What is being done just now: `name` to operation. */
  get busy(): ReadonlyMap<string, string> {
    return this._busy;
  }

  async load(): Promise<void> {
    this._set(await this._server.deployments());
  }

  take(message: Message): void {
    if (message.type === 'deployments') {
      this._set({ deployments: message.deployments, operations: message.operations });
    }
  }

  /** Promote, roll back, …; what is staged then is shown at once. */
  async operate(name: string, operation: string): Promise<void> {
    this._busy.set(name, operation);
    this.touch();
    try {
      this._set(await this._server.operate(name, operation));
    } finally {
      this._busy.delete(name);
      this.touch();
    }
  }

  private _set(staging: IStaging): void {
    this._staging = staging;
    this.touch();
  }

  private _busy = new Map<string, string>();
  private _server: IServer;
  private _staging: IStaging = { deployments: [], operations: [] };
}

/** A track's readings as one line: p99 latency and its distance from the median (jitter) in ms, errors a
 *  reading, resident memory in MB. Readings without the track, or before its first request, are left out. */
export function series(history: readonly IReading[], track: string, measure: Measure): number[] {
  const found: number[] = [];
  let before: number | null = null;
  for (const reading of history) {
    const seen = reading.tracks[track];
    if (!seen) {
      continue;
    }
    if (measure === 'memory') {
      found.push(seen.rss_bytes / 1e6);
    } else if (measure === 'errors') {
      const errors = seen.errors ?? 0;
      found.push(before === null || errors < before ? 0 : errors - before);
      before = errors;
    } else if (seen.p99_ms !== null && seen.p50_ms !== null) {
      found.push(measure === 'latency' ? seen.p99_ms : seen.p99_ms - seen.p50_ms);
    }
  }
  return found;
}

/** The points of a sparkline in a box, newest on the right, from zero up to `top`. */
export function sparkline(values: readonly number[], width: number, height: number, top: number): string {
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const place = (v: number, i: number) =>
    `${(i * step).toFixed(1)},${(height - 1 - (Math.min(v, top) / top) * (height - 2)).toFixed(1)}`;
  return values.length === 1 ? `${place(values[0], 0)} ${width},${place(values[0], 0).split(',')[1]}` : values.map(place).join(' ');
}

/** Which operations make sense now. */
export function offered(deployment: IDeployment, operations: readonly string[]): string[] {
  const canary = deployment.tracks.some(track => track.track === 'canary');
  const fits: { [operation: string]: boolean } = {
    promote: canary,
    rollback: canary || (deployment.previous === true && deployment.phase !== 'rolled-back'),
    pause: deployment.rollout?.paused === false,
    continue: deployment.rollout?.paused === true
  };
  return operations.filter(one => fits[one] ?? true);
}
