/** What crosses the wire and what one file promises another. No code but constants lives here. */

/** States of a run, as the store spells them; `interrupted` means that its processes are gone and it can be resumed. */
export type State = 'pending' | 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';

/** Why a step failed: what, where, and what to type next. */
export interface IFailure {
  error: string;
  what: string;
  where: string;
  fix: string;
}

/** One run, as `GET /mlops/api/runs` sends it; times are seconds since the epoch. */
export interface IRun {
  id: string;
  /** What it does, in two words. */
  title: string;
  /** What the user typed; empty for a run that nobody typed. */
  line: string;
  /** Id of the cell it was typed in. */
  cell: string;
  executor: string;
  /** The notebook that asked, relative to the server's root; empty for a shell. */
  origin: string;
  state: State;
  /** Whether somebody asked to cancel it. */
  cancelling: boolean;
  created_s: number;
  finished_s: number | null;
  steps_total: number;
  steps_done: number;
  steps_cached: number;
  /** What the running step said last, and the share of it that is done. */
  message?: string | null;
  fraction?: number | null;
  failure?: IFailure;
}

/** A piece of a step's log; `next` is where to ask on, in bytes. */
export interface ILog {
  step: number;
  text: string;
  next: number;
  size: number;
}

/** One event of the store's single sequence. */
export interface IEvent {
  seq: number;
  run_id: string;
  step: number;
  kind: string;
  payload: { [key: string]: unknown };
  created_s: number;
}

export interface IFigure {
  value: number;
  unit: string;
  baseline: string;
}

/** One artifact. */
export interface IArtifact {
  digest: string;
  kind: string;
  names: string[];
  size_bytes: number;
  created_s: number;
  parents: string[];
  verb: string;
  parameters: { [key: string]: string | number };
  metrics: { [key: string]: number };
  measured: { [key: string]: IFigure };
  /** Its own figures, else those of its nearest kin. */
  figures: { score: number | null; latency_ms: number | null; size_bytes: number };
  gate: '' | 'passed';
}

/** What the gate refused. */
export interface IRefusal {
  run: string;
  program: string;
  scheme: string;
  what: string;
  created_s: number;
}

export interface IModels {
  models: IArtifact[];
  refusals: IRefusal[];
}

export interface IReplica {
  id: string;
  pid: number;
  state: string;
  restarts: number;
  rss_bytes: number;
}

export interface ITrack {
  track: string;
  version: number;
  label?: string;
  package: string;
  weight: number;
  replicas: IReplica[];
  requests: number | null;
  errors: number | null;
  p50_ms: number | null;
  p99_ms: number | null;
}

export interface IReading {
  time_s: number;
  tracks: {
    [track: string]: {
      requests: number | null;
      errors: number | null;
      p50_ms: number | null;
      p99_ms: number | null;
      rss_bytes: number;
    };
  };
}

export interface IRollback {
  version: number;
  by: string;
  reason: string;
  observed: number;
  stable: number;
  budget: number;
  window: number;
  decided_ns: number;
}

/** One deployment; fields that a route does not know are absent. */
export interface IDeployment {
  name: string;
  env: string;
  url?: string;
  phase?: string;
  route?: string;
  failure?: string;
  tracks: ITrack[];
  events: { kind: string; text: string; time_ns: number }[];
  rollbacks: IRollback[];
  history?: IReading[];
  /** Whether there is an earlier stable version to go back to. */
  previous?: boolean;
  /** A rollout that goes on by itself: the weights to come, in ten-thousandths. */
  rollout?: { weights: number[]; paused: boolean } | null;
}

export interface IStaging {
  deployments: IDeployment[];
  /** Operations the server can do: promote, rollback, pause, continue, unstage. */
  operations: string[];
}

export interface IFinding {
  group: string;
  what: string;
  value: string;
  state: 'ok' | 'info' | 'missing' | 'bad';
  fix: string;
}

export interface ISystem {
  findings: IFinding[];
  home: string;
}

/** What the stream says. */
export type Message =
  | { type: 'events'; seq: number; events: IEvent[]; runs: IRun[] }
  | { type: 'reset'; seq: number }
  | { type: 'runs'; runs: IRun[] }
  | ({ type: 'deployments' } & IStaging);

/** What the panel asks of the server; a fake in tests. */
export interface IServer {
  runs(limit: number): Promise<{ runs: IRun[]; seq: number }>;
  cancel(id: string): Promise<IRun>;
  resume(id: string): Promise<IRun>;
  log(id: string, offset: number, step?: number): Promise<ILog>;
  models(): Promise<IModels>;
  profiles(): Promise<IArtifact[]>;
  report(digest: string): Promise<string>;
  deployments(): Promise<IStaging>;
  operate(name: string, operation: string): Promise<IStaging>;
  system(): Promise<ISystem>;
}

/** Ids of the commands that this extension adds. */
export const CommandIDs = {
  open: 'mlops:open',
  refresh: 'mlops:refresh',
  insert: 'mlops:insert-line',
  filter: 'mlops:toggle-filter',
  cancelNewest: 'mlops:cancel-newest',
  openProfile: 'mlops:open-profile'
} as const;

/** Sections of the panel, in order. */
export const SECTIONS = ['runs', 'models', 'staging', 'profiles', 'system'] as const;
export type Section = (typeof SECTIONS)[number];

export const PLUGIN = '@mlops/workbench-lab:panel';

/** Id of the panel's widget. */
export const PANEL = 'mlops-workbench';
