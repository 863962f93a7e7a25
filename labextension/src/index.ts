/** Wiring only: make the models, the stream, the panel and the commands. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ServerConnection } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { actionsOf } from './actions';
import { addCommands, offerCommands } from './commands';
import { workbenchIcon } from './icons';
import { addViews } from './mime';
import { Filter } from './model/ui';
import { Workbench } from './model/workbench';
import { Notebooks } from './notebook';
import { address, WorkbenchServer } from './server';
import { ISocket, Stream } from './stream';
import { Message, PLUGIN, Section } from './tokens';
import { Panel } from './view/panel';

/** How long to wait before asking again a server that did not answer at all, in milliseconds. */
const RETRY_MS = 5000;

const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: 'The workbench beside the notebook: runs, models, staging, profiles, system.',
  autoStart: true,
  optional: [ITranslator, ILayoutRestorer, INotebookTracker, ICommandPalette, ILauncher, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    tracker: INotebookTracker | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    registry: ISettingRegistry | null
  ) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    const settings = app.serviceManager.serverSettings;
    const server = new WorkbenchServer(settings);
    const bench = new Workbench(server);
    const notebooks = new Notebooks(app, tracker);
    let inserts = false;
    const actions = actionsOf(app, bench, notebooks, trans, () => inserts);
    const panel = new Panel(bench, trans, actions);
    panel.title.icon = workbenchIcon;
    panel.title.caption = trans.__('MLOps workbench');
    app.shell.add(panel, 'right', { rank: 500 });
    restorer?.add(panel, panel.id);
    addCommands(app, bench, panel, actions, trans);
    offerCommands(palette, launcher, tracker, app, trans);
    tracker?.currentChanged.connect(() => bench.ui.set({ notebook: notebooks.path }));
    void registry?.load(PLUGIN).then(loaded => {
      const apply = (): void => {
        inserts = loaded.composite.buttons === 'insert';
        bench.ui.set({
          filter: loaded.composite.filter as Filter,
          open: new Set(loaded.composite.sections as Section[])
        });
      };
      apply();
      loaded.changed.connect(apply);
    });
    const stream = new Stream({
      connect: since => socketTo(settings, since),
      poll: since => server.events(since) as Promise<Message>,
      take: message => bench.take(message),
      live: live => bench.ui.set({ live })
    });
    panel.disposed.connect(() => stream.stop());
    void app.restored.then(() => begin(bench, stream));
  }
};

/** Load once and follow; a server that is not up yet is asked again. */
async function begin(bench: Workbench, stream: Stream): Promise<void> {
  try {
    stream.start(await bench.load());
  } catch {
    setTimeout(() => void begin(bench, stream), RETRY_MS);
  }
}

function socketTo(settings: ServerConnection.ISettings, since: number): ISocket {
  const url = new URL(address({ ...settings, baseUrl: settings.wsUrl }, 'stream'));
  url.searchParams.set('since', String(since));
  if (settings.appendToken && settings.token) {
    url.searchParams.set('token', settings.token);
  }
  return new settings.WebSocket(url.href);
}

const viewsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@mlops/workbench-lab:views',
  description: "Draws the workbench's views in notebooks, with and without a kernel.",
  autoStart: true,
  requires: [IRenderMimeRegistry],
  activate: (app: JupyterFrontEnd, registry: IRenderMimeRegistry) => {
    const settings = app.serviceManager.serverSettings;
    addViews(registry, view => new URL(address(settings, 'views', `${view}.js`), location.href).href);
  }
};

export default [panelPlugin, viewsPlugin];
