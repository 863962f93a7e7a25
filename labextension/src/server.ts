/** The REST client of the server extension. Rides on JupyterLab's own address and login, so it works behind a hub. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { IRun, IRunSource } from './tokens';

/** Runs as the Jupyter server of this page knows them. */
export class ServerRuns implements IRunSource {
  constructor(settings: ServerConnection.ISettings) {
    this._settings = settings;
  }

  async list(): Promise<IRun[]> {
    const response = await this._request('runs', 'GET');
    return ((await response.json()) as { runs: IRun[] }).runs;
  }

  async cancel(id: string): Promise<void> {
    await this._request(`runs/${encodeURIComponent(id)}`, 'DELETE');
  }

  private async _request(path: string, method: string): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, 'mlops', 'api', path);
    const response = await ServerConnection.makeRequest(url, { method }, this._settings);
    if (response.ok) {
      return response;
    }
    if (response.status === 404 && method === 'GET') {
      throw new Error("The server half is not there. Type: pip install 'mlops-workbench[lab]', then restart JupyterLab.");
    }
    throw await ServerConnection.ResponseError.create(response);
  }

  private _settings: ServerConnection.ISettings;
}
