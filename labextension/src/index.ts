/**
 * Wiring only: a place in the side bar, the commands, and the views of notebooks.
 *
 * JupyterLab loads this file before it shows anything, so it stays small; `start.ts` and all it needs come when
 * somebody looks at the panel or uses a command, and `mime.ts` when a notebook has a view.
 */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addCommands, offerCommands } from './commands';
import { Holder } from './holder';
import { workbenchIcon } from './icons';
import { addViews } from './mime';
import { modules } from './modules';
import type { IStarted } from './start';
import { PANEL, PLUGIN } from './tokens';

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
    let starting: Promise<IStarted> | undefined;
    const started = (): Promise<IStarted> => {
      starting ??= import('./start').then(module => module.start({ app, trans, tracker, registry }));
      starting.catch(() => (starting = undefined));
      return starting;
    };
    const holder = new Holder(PANEL, async () => (await started()).panel);
    holder.title.icon = workbenchIcon;
    holder.title.caption = trans.__('MLOps workbench');
    app.shell.add(holder, 'right', { rank: 500 });
    restorer?.add(holder, holder.id);
    addCommands(app, started, trans);
    offerCommands(palette, launcher, tracker, app, trans);
  }
};

const viewsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@mlops/workbench-lab:views',
  description: "Draws the workbench's views in notebooks, with and without a kernel.",
  autoStart: true,
  requires: [IRenderMimeRegistry],
  activate: (app: JupyterFrontEnd, registry: IRenderMimeRegistry) => {
    addViews(registry, modules(app.serviceManager.serverSettings));
  }
};

export default [panelPlugin, viewsPlugin];
