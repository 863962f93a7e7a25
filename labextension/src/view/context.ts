/** What every part of the panel is handed: the models, the language, and what buttons do. */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { Workbench } from '../model/workbench';
import { IArtifact, IRun } from '../tokens';

/** What buttons do outside the panel; `index.ts` wires it to JupyterLab. */
export interface IActions {
  /** Put a line into a new cell of the notebook in front, and show it. */
  insert(line: string): void;
  /** Put a line on the clipboard. */
  copy(line: string): void;
  /** Do something and show the line that does the same; ask first when there is a question. */
  perform(line: string, act: () => Promise<unknown>, question?: { title: string; body: string }): void;
  /** End the newest run that moves, if there is one. */
  cancelNewest(): void;
  /** Run a run's line again in its notebook; a shell's line is only inserted. */
  again(run: IRun): void;
  /** Open the notebook a run came from, at its cell. */
  reveal(run: IRun): void;
  /** Open a profile's report in the main area. */
  profile(artifact: IArtifact): void;
}

export interface IContext {
  bench: Workbench;
  trans: TranslationBundle;
  actions: IActions;
}

export const Context = React.createContext<IContext | null>(null);

export function useBench(): IContext {
  const found = React.useContext(Context);
  if (!found) {
    throw new Error('the panel renders inside its context');
  }
  return found;
}
