/** What crosses the wire and what one file promises another. No code lives here. */

/** States a run or a step can be in, as the store spells them. */
export type State = 'queued' | 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';

/** One step of a run, as `GET /mlops/api/runs` sends it. */
export interface IStep {
  /** The step's kind: `capture`, `quantize`, ... */
  name: string;
  state: string;
}

/** One run, as `GET /mlops/api/runs` sends it. */
export interface IRun {
  id: string;
  /** What a person would call it: the recipe's steps and the model's name. */
  title: string;
  state: string;
  /** Seconds since the epoch. */
  created: number;
  steps: IStep[];
  /** One line for a failed run, else empty. */
  error: string;
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
