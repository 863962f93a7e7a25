/**
 * The modules that draw views, from the installed package.
 *
 * They are asked for like everything else, with the headers of the login, and imported from memory: a plain import sends
 * cookies only, which JupyterHub refuses from a script.
 */
import { ServerConnection } from '@jupyterlab/services';

import { explain } from './explain';
import { DataModel } from './parts';
import { address } from './server';

export interface IModule {
  default: { render(context: { model: DataModel; el: HTMLElement }): void | (() => void) | Promise<void | (() => void)> };
}

/** Return a function that loads a view's module, once a page. */
export function modules(settings: ServerConnection.ISettings): (view: string) => Promise<IModule> {
  const known = new Map<string, Promise<IModule>>();
  return view => {
    const loading = known.get(view) ?? load(settings, view);
    known.set(view, loading);
    loading.catch(() => known.delete(view));
    return loading;
  };
}

async function load(settings: ServerConnection.ISettings, view: string): Promise<IModule> {
  const response = await ServerConnection.makeRequest(address(settings, 'views', `${view}.js`), {}, settings);
  const text = await response.text();
  if (!response.ok) {
    throw new Error(explain(response.status, text));
  }
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  try {
    return (await import(/* webpackIgnore: true */ url)) as IModule;
  } finally {
    URL.revokeObjectURL(url);
  }
}
