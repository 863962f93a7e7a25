/** What the panel does to notebooks: insert a line, show the cell a run came from. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

import { IRun } from './tokens';

/** Milliseconds a revealed cell stays marked. */
const MARK_MS = 1600;

export class Notebooks {
  constructor(
    private _app: JupyterFrontEnd,
    private _tracker: INotebookTracker | null
  ) {}

  /** Path of the notebook in front; empty when there is none. */
  get path(): string {
    return this._tracker?.currentWidget?.context.path ?? '';
  }

  /** Put a line into a new cell below the active one, or into the active cell if that is empty.
   *  Return whether there was a notebook to put it into. */
  insert(line: string): boolean {
    const panel = this._tracker?.currentWidget;
    if (!panel) {
      return false;
    }
    const notebook = panel.content;
    const active = notebook.activeCell?.model;
    if (!(active && active.type === 'code' && active.sharedModel.getSource().trim() === '')) {
      NotebookActions.insertBelow(notebook);
    }
    notebook.activeCell?.model.sharedModel.setSource(line);
    this._app.shell.activateById(panel.id);
    void this._scroll(panel, notebook.activeCellIndex);
    return true;
  }

  /** Open a run's notebook at the cell that started it. */
  async reveal(run: IRun): Promise<void> {
    await this._at(run);
  }

  /** Run a line again in the notebook it was typed in: its cell if that still is this line and nothing else (a cell
   *  magic: with whatever stands below it now), else a new cell below. */
  async again(run: IRun, line: string): Promise<void> {
    const panel = await this._at(run);
    if (!panel) {
      return;
    }
    const notebook = panel.content;
    const source = notebook.activeCell?.model.sharedModel.getSource().trim() ?? '';
    const same = notebook.activeCell?.model.id === run.cell && (line.startsWith('%%') ? source.startsWith(line) : source === line);
    if (!same) {
      NotebookActions.insertBelow(notebook);
      notebook.activeCell?.model.sharedModel.setSource(line);
    }
    if (!line.startsWith('%%') || same) {
      await NotebookActions.run(notebook, panel.sessionContext); // a cell magic without its body would fail
    }
  }

  /** Open a run's notebook and make the cell that started it the active one, if it is still there. */
  private async _at(run: IRun): Promise<NotebookPanel | undefined> {
    const opened: unknown = await this._app.commands.execute('docmanager:open', { path: run.origin });
    const panel = this._tracker?.find(one => one === opened || one.context.path === run.origin);
    if (!panel) {
      return undefined;
    }
    await panel.context.ready;
    await panel.revealed;
    const index = panel.content.widgets.findIndex(cell => cell.model.id === run.cell);
    if (index >= 0) {
      panel.content.activeCellIndex = index;
      await this._scroll(panel, index);
    }
    return panel;
  }

  private async _scroll(panel: NotebookPanel, index: number): Promise<void> {
    const cell = panel.content.widgets[index];
    await panel.content.scrollToItem(index, 'smart');
    cell.node.classList.add('mlops-mod-found');
    setTimeout(() => cell.node.classList.remove('mlops-mod-found'), MARK_MS);
  }
}
