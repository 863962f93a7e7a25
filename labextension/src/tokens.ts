/** What crosses the wire and what one file promises another. No code lives here. */

/** States of a run, as the store spells them; `interrupted` means that its processes are gone and it can be resumed. */
export type State = 'pending' | 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';

/** One run, as `GET /mlops/api/runs` sends it; times are seconds since the epoch. */
export interface IRun {
  id: string;
  /** What the user typed. */
  title: string;
  executor: string;
  /** Who asked: a kernel or a session. */
  origin: string;
  state: State;
  /** Whether somebody asked to cancel it. */
  cancelling: boolean;
  created_s: number;
  finished_s: number | null;
  steps_total: number;
  steps_done: number;
  steps_cached: number;
}

/** Where runs come from: the server extension, or a fake in tests. */
export interface IRunSource {
  /** Return the newest runs, newest first. */
  list(): Promise<IRun[]>;
  /** Ask for a run to be cancelled. */
  cancel(id: string): Promise<void>;
}

/** Ids of the commands that this extension adds. */
export namespace CommandIDs {
  export const open = 'mlops:open';
  export const refresh = 'mlops:refresh';
}
