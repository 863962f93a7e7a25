/** What the panel needs once somebody looks at it: models, stream, actions, the view. Loaded on demand. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ServerConnection } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { TranslationBundle } from '@jupyterlab/translation';

import { actionsOf } from './actions';
import { Filter } from './model/ui';
import { Workbench } from './model/workbench';
import { Notebooks } from './notebook';
import { address, WorkbenchServer } from './server';
import { ISocket, Stream } from './stream';
import './style';
import { Message, PLUGIN, Section } from './tokens';
import { IActions } from './view/context';
import { Panel } from './view/panel';

/** How long to wait before asking again a server that did not answer at all, in milliseconds. */
const RETRY_MS = 5000;

/** What JupyterLab lends the panel. */
export interface IParts {
  app: JupyterFrontEnd;
  trans: TranslationBundle;
  tracker: INotebookTracker | null;
  registry: ISettingRegistry | null;
}

/** The panel at work. */
export interface IStarted {
  bench: Workbench;
  actions: IActions;
  panel: Panel;
  /** Settled when the lists were loaded for the first time. */
  ready: Promise<void>;
}

/** Make the models, follow the stream, and return what shows them. */
export async function start(parts: IParts): Promise<IStarted> {
  const { app, trans, tracker, registry } = parts;
  const settings = app.serviceManager.serverSettings;
  const server = new WorkbenchServer(settings);
  const bench = new Workbench(server);
  const notebooks = new Notebooks(app, tracker);
  let inserts = false;
  const loaded = await registry?.load(PLUGIN).catch(() => undefined); // without a schema: the defaults
  const apply = (): void => {
    inserts = loaded?.composite.buttons === 'insert';
    bench.ui.set({
      filter: loaded?.composite.filter as Filter,
      open: new Set(loaded?.composite.sections as Section[])
    });
  };
  if (loaded) {
    apply();
    loaded.changed.connect(apply);
  }
  const actions = actionsOf(app, bench, notebooks, trans, () => inserts);
  const panel = new Panel(bench, trans, actions);
  bench.ui.set({ notebook: notebooks.path });
  tracker?.currentChanged.connect(() => bench.ui.set({ notebook: notebooks.path }));
  const stream = new Stream({
    connect: since => socketTo(settings, since),
    poll: since => server.events(since) as Promise<Message>,
    take: message => bench.take(message),
    live: live => bench.ui.set({ live })
  });
  panel.disposed.connect(() => stream.stop());
  return { bench, actions, panel, ready: begin(bench, stream) };
}

/** Load once and follow; a server that is not up yet is asked again. */
async function begin(bench: Workbench, stream: Stream): Promise<void> {
  for (;;) {
    try {
      stream.start(await bench.load());
      return;
    } catch {
      await new Promise(done => setTimeout(done, RETRY_MS));
    }
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
