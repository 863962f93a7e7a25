/** What a saved output holds, and as much of anywidget's model as views use. */
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';

/** One part of an output: a view, or HTML. */
export type IPart = { view: string; data: ReadonlyPartialJSONObject } | { html: string };

/** The parts of an output. */
export function partsOf(value: unknown): IPart[] {
  const given = value as { parts?: IPart[] } & IPart;
  return Array.isArray(given.parts) ? given.parts : [given];
}

/** As much of anywidget's model as views use. */
export class DataModel {
  constructor(data: unknown) {
    this._data = data;
  }

  get(key: string): unknown {
    return key === 'data' ? this._data : undefined;
  }

  on(event: string, act: () => void): void {
    if (event === 'change:data') {
      this._listeners.push(act);
    }
  }

  off(event: string, act?: () => void): void {
    if (event === 'change:data') {
      this._listeners = this._listeners.filter(one => act && one !== act);
    }
  }

  update(data: unknown): void {
    this._data = data;
    this._listeners.forEach(act => act());
  }

  private _data: unknown;
  private _listeners: (() => void)[] = [];
}
