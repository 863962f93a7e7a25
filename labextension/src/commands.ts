/** The commands, and where they are offered: palette, launcher, notebook toolbar, shortcuts. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { ICommandPalette, ToolbarButton } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { TranslationBundle } from '@jupyterlab/translation';

import { workbenchIcon } from './icons';
import type { IStarted } from './start';
import { CommandIDs, PANEL } from './tokens';

export function addCommands(app: JupyterFrontEnd, started: () => Promise<IStarted>, trans: TranslationBundle): void {
  const add = (id: string, label: string, execute: (args: { [key: string]: unknown }) => unknown): void => {
    app.commands.addCommand(id, { label, caption: label, icon: workbenchIcon, execute: args => execute(args) });
  };
  add(CommandIDs.open, trans.__('Show the MLOps Workbench'), () => app.shell.activateById(PANEL));
  add(CommandIDs.refresh, trans.__('Refresh the MLOps Workbench'), async () => (await started()).bench.load());
  add(CommandIDs.insert, trans.__('Insert an %mlops Line'), async args =>
    (await started()).actions.insert(String(args.line ?? '%mlops '))
  );
  add(CommandIDs.filter, trans.__('Workbench: This Notebook or All'), async () => {
    const { ui } = (await started()).bench;
    ui.set({ filter: ui.filter === 'all' ? 'notebook' : 'all' });
  });
  add(CommandIDs.cancelNewest, trans.__('Cancel the Newest Run'), async () => {
    const { actions, ready } = await started();
    await ready;
    actions.cancelNewest();
  });
  add(CommandIDs.openProfile, trans.__('Open the Newest Profile'), async () => {
    const { bench, actions, ready } = await started();
    await ready;
    const newest = bench.library.profiles[0];
    if (newest) {
      actions.profile(newest);
    }
  });
}

export function offerCommands(
  palette: ICommandPalette | null,
  launcher: ILauncher | null,
  notebooks: INotebookTracker | null,
  app: JupyterFrontEnd,
  trans: TranslationBundle
): void {
  const category = trans.__('MLOps');
  for (const command of Object.values(CommandIDs)) {
    palette?.addItem({ command, category });
  }
  launcher?.add({ command: CommandIDs.open, category: trans.__('Other'), rank: 5 });
  notebooks?.widgetAdded.connect((_, notebook) => {
    const button = new ToolbarButton({
      icon: workbenchIcon,
      tooltip: trans.__('Show the MLOps Workbench'),
      onClick: () => void app.commands.execute(CommandIDs.open)
    });
    notebook.toolbar.insertBefore('kernelName', 'mlops-workbench', button) ||
      notebook.toolbar.addItem('mlops-workbench', button);
  });
}
