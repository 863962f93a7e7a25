/** What the panel's buttons do to JupyterLab. */
import { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Dialog, IFrame, MainAreaWidget, Notification, showDialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';

import { workbenchIcon } from './icons';
import { lines } from './lines';
import { nameOf } from './model/library';
import { isActive } from './model/runs';
import { Workbench } from './model/workbench';
import { Notebooks } from './notebook';
import { IArtifact } from './tokens';
import { IActions } from './view/context';

export function actionsOf(
  app: JupyterFrontEnd,
  bench: Workbench,
  notebooks: Notebooks,
  trans: TranslationBundle,
  inserts: () => boolean
): IActions {
  const copy = (line: string): void => {
    Clipboard.copyToSystem(line);
    Notification.info(trans.__('Copied: %1', line), { autoClose: 2000 });
  };
  const insert = (line: string): void => {
    bench.ui.set({ line });
    if (!notebooks.insert(line)) {
      copy(line);
    }
  };
  const perform: IActions['perform'] = async (line, act, question) => {
    if (inserts()) {
      insert(line);
      return;
    }
    if (question && !(await agreed(question, line, trans))) {
      return;
    }
    bench.ui.set({ line });
    await bench.attempt(act);
  };
  return {
    copy,
    insert,
    perform,
    cancelNewest: () => {
      const run = bench.runs.list(bench.ui.scope).find(isActive);
      if (run) {
        perform(lines.cancel(run), () => bench.runs.cancel(run.id));
      }
    },
    again: async run => {
      const line = lines.again(run);
      if (inserts() || !run.origin) {
        insert(line); // a shell's line may mean files beside that shell
        return;
      }
      bench.ui.set({ line });
      await bench.attempt(() => notebooks.again(run, line));
    },
    reveal: run => void bench.attempt(() => notebooks.reveal(run)),
    profile: artifact => {
      bench.ui.set({ line: lines.show(artifact) });
      void bench.attempt(() => openProfile(app, bench, artifact));
    }
  };
}

async function agreed(question: { title: string; body: string }, line: string, trans: TranslationBundle): Promise<boolean> {
  const result = await showDialog({
    title: question.title,
    body: `${question.body}\n\n${line}`,
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.warnButton({ label: question.title.split(':')[0] })],
    defaultButton: 0
  });
  return result.button.accept;
}

/** Show a profile's report in a tab; the page has no scripts and its frame allows none. */
async function openProfile(app: JupyterFrontEnd, bench: Workbench, artifact: IArtifact): Promise<void> {
  const id = `mlops-profile-${artifact.digest.slice(7, 23)}`;
  const there = [...app.shell.widgets('main')].find(widget => widget.id === id);
  if (!there) {
    const page = await bench.server.report(artifact.digest);
    const content = new IFrame({ sandbox: [] });
    content.url = URL.createObjectURL(new Blob([page], { type: 'text/html' }));
    content.disposed.connect(() => URL.revokeObjectURL(content.url));
    const widget = new MainAreaWidget({ content });
    widget.id = id;
    widget.title.label = artifact.names[0] ?? nameOf(artifact);
    widget.title.icon = workbenchIcon;
    widget.title.closable = true;
    app.shell.add(widget, 'main');
  }
  app.shell.activateById(id);
}
