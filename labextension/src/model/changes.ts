/** Tell listeners that something changed, at most once a frame: a hundred events a second paint sixty times at most. */
import { ISignal, Signal } from '@lumino/signaling';

export type Schedule = (act: () => void) => void;

/** The next frame; soon, where there are no frames (a hidden page has none, tests have none). */
export const nextFrame: Schedule = act => {
  if (typeof requestAnimationFrame === 'undefined' || document.hidden) {
    setTimeout(act, 50);
  } else {
    requestAnimationFrame(act);
  }
};

export class Changing {
  constructor(schedule: Schedule = nextFrame) {
    this._schedule = schedule;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Tell at once: for what a person just did. */
  protected tell(): void {
    this._changed.emit();
  }

  /** Tell with the next frame: for what the server says. */
  protected touch(): void {
    if (!this._waiting) {
      this._waiting = true;
      this._schedule(() => {
        this._waiting = false;
        this._changed.emit();
      });
    }
  }

  private _changed = new Signal<this, void>(this);
  private _schedule: Schedule;
  private _waiting = false;
}
