/** Wiring only: make the model, the panel and the commands, and poll while someone looks. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { Poll } from '@lumino/polling';

import { RunsModel } from './model';
import { RunsPanel } from './panel';
import { ServerRuns } from './server';
import { CommandIDs } from './tokens';

/** How often a visible panel asks, and how far apart failing requests may drift, in milliseconds. */
const FREQUENCY = { interval: 1000, max: 30_000, backoff: true };

const icon = new LabIcon({
  name: 'mlops:runs',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">' +
    '<path class="jp-icon3" fill="#616161" d="M2 3h12v2H2zM2 7h8v2H2zM2 11h5v2H2z"/></svg>'
});

/** The runs panel in the right sidebar. */
const runs: JupyterFrontEndPlugin<void> = {
  id: '@mlops/workbench-lab:runs',
  description: "Lists the runs of the server's workbench store and cancels them.",
  autoStart: true,
  optional: [ITranslator, ILayoutRestorer],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null, restorer: ILayoutRestorer | null) => {
    const trans = (translator ?? nullTranslator).load('mlops_workbench');
    const model = new RunsModel(new ServerRuns(app.serviceManager.serverSettings));
    const panel = new RunsPanel(model, trans);
    panel.title.icon = icon;
    panel.title.caption = trans.__('Workbench runs');
    app.shell.add(panel, 'right', { rank: 500 });
    restorer?.add(panel, panel.id);

    const poll = new Poll({
      name: 'mlops:runs',
      factory: () => model.refresh(),
      frequency: FREQUENCY,
      standby: () => document.hidden || !panel.isVisible
    });
    panel.disposed.connect(() => poll.dispose());

    app.commands.addCommand(CommandIDs.open, {
      label: trans.__('Show Workbench Runs'),
      execute: () => {
        app.shell.activateById(panel.id);
        return poll.refresh();
      }
    });
    app.commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Refresh Workbench Runs'),
      execute: () => poll.refresh()
    });
  }
};

export default runs;
