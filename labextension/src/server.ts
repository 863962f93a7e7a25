/** The REST client of the server extension. Rides on JupyterLab's own address and login, so it works behind a hub. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { explain } from './explain';
import { IArtifact, ILog, IModels, IRun, IServer, IStaging, ISystem } from './tokens';

/** Where the extension's routes lie on this page's server. */
export function address(settings: ServerConnection.ISettings, ...path: string[]): string {
  return URLExt.join(settings.baseUrl, 'mlops', 'api', ...path);
}

/** The workbench as the Jupyter server of this page knows it. */
export class WorkbenchServer implements IServer {
  constructor(settings: ServerConnection.ISettings) {
    this._settings = settings;
  }

  runs(limit: number): Promise<{ runs: IRun[]; seq: number }> {
    return this._ask('GET', `runs?limit=${limit}`);
  }

  cancel(id: string): Promise<IRun> {
    return this._ask('DELETE', `runs/${encodeURIComponent(id)}`);
  }

  resume(id: string): Promise<IRun> {
    return this._ask('POST', `runs/${encodeURIComponent(id)}/resume`);
  }

  log(id: string, offset: number, step = -1): Promise<ILog> {
    return this._ask('GET', `runs/${encodeURIComponent(id)}/log?step=${step}&offset=${offset}`);
  }

  models(): Promise<IModels> {
    return this._ask('GET', 'models');
  }

  async profiles(): Promise<IArtifact[]> {
    return (await this._ask<{ profiles: IArtifact[] }>('GET', 'profiles')).profiles;
  }

  async report(digest: string): Promise<string> {
    return (await this._ask<{ html: string }>('GET', `profiles/${encodeURIComponent(digest)}`)).html;
  }

  deployments(): Promise<IStaging> {
    return this._ask('GET', 'deployments');
  }

  operate(name: string, operation: string): Promise<IStaging> {
    return this._ask('POST', `deployments/${encodeURIComponent(name)}/${encodeURIComponent(operation)}`);
  }

  system(): Promise<ISystem> {
    return this._ask('GET', 'system');
  }

  /** What the stream would say next, for a page whose WebSockets do not get through. */
  events(since: number): Promise<unknown> {
    return this._ask('GET', `events?since=${since}`);
  }

  private async _ask<T>(method: string, path: string): Promise<T> {
    const url = address(this._settings, path);
    const response = await ServerConnection.makeRequest(url, { method }, this._settings);
    if (response.ok) {
      return (await response.json()) as T;
    }
    const body = await response.text();
    throw new Error(explain(response.status, body));
  }

  private _settings: ServerConnection.ISettings;
}
