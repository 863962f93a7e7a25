/**
 * The panel's state: the runs last seen and the failure last met.
 *
 * Imports nothing of JupyterLab, so it is tested without a browser. It never asks a kernel: whatever the
 * panel shows comes from the store through the server, and is there with no notebook open.
 */
import { ISignal, Signal } from '@lumino/signaling';

import { IRun, IRunSource, State } from './tokens';

/** States that change without anyone's doing. */
const ACTIVE = new Set<State>(['pending', 'running']);

/** Runs of one store, and a signal each time they change. */
export class RunsModel {
  constructor(source: IRunSource) {
    this._source = source;
  }

  /** Emitted when the runs or the failure differ from what they were. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The newest runs, newest first. */
  get runs(): readonly IRun[] {
    return this._runs;
  }

  /** Why the last request failed, in one sentence; empty when it did not. */
  get failure(): string {
    return this._failure;
  }

  /** Ask the source again. A failure is kept to be shown, and rethrown so that a poll can back off. */
  async refresh(): Promise<void> {
    try {
      this._set(await this._source.list(), '');
    } catch (error) {
      this._set(this._runs, messageOf(error));
      throw error;
    }
  }

  /** Cancel a run and show what became of it. */
  async cancel(id: string): Promise<void> {
    try {
      await this._source.cancel(id);
    } catch (error) {
      this._set(this._runs, messageOf(error));
      return;
    }
    await this.refresh();
  }

  private _set(runs: readonly IRun[], failure: string): void {
    if (failure === this._failure && JSON.stringify(runs) === JSON.stringify(this._runs)) {
      return; // nothing new: do not render again
    }
    this._runs = runs;
    this._failure = failure;
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
  private _failure = '';
  private _runs: readonly IRun[] = [];
  private _source: IRunSource;
}

/** Return whether the run still moves, so that progress and a cancel button make sense. */
export function isActive(run: IRun): boolean {
  return ACTIVE.has(run.state);
}

/** Return the share of a run's steps that are done, from 0 to 1. */
export function progressOf(run: IRun): number {
  return run.steps_total === 0 ? 0 : run.steps_done / run.steps_total;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
