/** A workbench in memory that may be told to fail, and the smallest things it holds. */
import { IArtifact, IDeployment, ILog, IModels, IRun, IServer, IStaging, ISystem, State } from '../tokens';

export function run(id: string, state: State = 'running', more: Partial<IRun> = {}): IRun {
  return {
    id,
    state,
    title: `run ${id}`,
    line: '',
    cell: '',
    executor: 'local',
    origin: '',
    cancelling: false,
    created_s: 1,
    finished_s: null,
    steps_total: 2,
    steps_done: 1,
    steps_cached: 0,
    ...more
  };
}

export function artifact(name: string, kind = 'program', parents: string[] = [], more: Partial<IArtifact> = {}): IArtifact {
  return {
    digest: `sha256:${name}`,
    kind,
    names: [name],
    size_bytes: 1_000_000,
    created_s: 1,
    parents,
    verb: '',
    parameters: {},
    metrics: {},
    measured: {},
    figures: { score: null, latency_ms: null, size_bytes: 1_000_000 },
    gate: '',
    ...more
  };
}

export function deployment(name: string, tracks: string[] = ['stable']): IDeployment {
  return {
    name,
    env: 'staging',
    phase: tracks.includes('canary') ? 'canary' : 'stable',
    tracks: tracks.map((track, i) => ({
      track,
      version: i + 1,
      package: 'sha256:p',
      weight: 1 / tracks.length,
      replicas: [],
      requests: 0,
      errors: 0,
      p50_ms: null,
      p99_ms: null
    })),
    events: [],
    rollbacks: []
  };
}

export class FakeServer implements IServer {
  failure = '';
  list: IRun[] = [];
  seq = 0;
  library: IModels = { models: [], refusals: [] };
  traces: IArtifact[] = [];
  staging: IStaging = { deployments: [], operations: ['promote', 'rollback', 'unstage'] };
  asked: string[] = [];

  async runs(): Promise<{ runs: IRun[]; seq: number }> {
    return this._answer('runs', { runs: structuredClone(this.list), seq: this.seq });
  }
  async cancel(id: string): Promise<IRun> {
    return this._answer(`cancel ${id}`, { ...this._run(id), state: 'cancelled' });
  }
  async resume(id: string): Promise<IRun> {
    return this._answer(`resume ${id}`, { ...this._run(id), state: 'running' });
  }
  async log(): Promise<ILog> {
    return this._answer('log', { step: 0, text: 'the end', next: 7, size: 7 });
  }
  async models(): Promise<IModels> {
    return this._answer('models', this.library);
  }
  async profiles(): Promise<IArtifact[]> {
    return this._answer('profiles', this.traces);
  }
  async report(): Promise<string> {
    return this._answer('report', '<p>report</p>');
  }
  async deployments(): Promise<IStaging> {
    return this._answer('deployments', this.staging);
  }
  async operate(name: string, operation: string): Promise<IStaging> {
    return this._answer(`${operation} ${name}`, this.staging);
  }
  async system(): Promise<ISystem> {
    return this._answer('system', { findings: [], home: '/store' });
  }

  private _run(id: string): IRun {
    const found = this.list.find(one => one.id === id);
    if (!found) {
      throw new Error(`no run ${id}`);
    }
    return found;
  }

  private _answer<T>(what: string, value: T): T {
    this.asked.push(what);
    if (this.failure) {
      throw new Error(this.failure);
    }
    return value;
  }
}

/** Acts at once, so that a test sees every change. */
export const atOnce = (act: () => void): void => act();
