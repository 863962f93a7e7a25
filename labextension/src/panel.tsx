/** The side panel: a pure function of the model. */
import { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { isActive, progressOf, RunsModel } from './model';
import { IRun } from './tokens';

/** A sidebar widget that lists the runs of the store. */
export class RunsPanel extends ReactWidget {
  constructor(model: RunsModel, trans: TranslationBundle) {
    super();
    this._model = model;
    this._trans = trans;
    this.id = 'mlops-workbench';
    this.addClass('mlops-Panel');
  }

  protected render(): React.ReactElement {
    return (
      <UseSignal signal={this._model.changed}>
        {() => <Runs model={this._model} trans={this._trans} />}
      </UseSignal>
    );
  }

  private _model: RunsModel;
  private _trans: TranslationBundle;
}

function Runs(props: { model: RunsModel; trans: TranslationBundle }): React.ReactElement {
  const { model, trans } = props;
  return (
    <div role="region" aria-label={trans.__('Workbench runs')}>
      {model.failure && (
        <p role="alert" className="mlops-Failure">
          {model.failure}
        </p>
      )}
      {model.runs.length === 0 && !model.failure && (
        <p>{trans.__('No runs yet. Start one from a cell: %mlops capture model --inputs batch')}</p>
      )}
      <ul className="mlops-Runs">
        {model.runs.map(run => (
          <Card key={run.id} run={run} trans={trans} cancel={() => void model.cancel(run.id)} />
        ))}
      </ul>
    </div>
  );
}

function Card(props: { run: IRun; trans: TranslationBundle; cancel: () => void }): React.ReactElement {
  const { run, trans, cancel } = props;
  return (
    <li className="mlops-Run" data-run={run.id} data-state={run.state}>
      <div className="mlops-Run-head">
        <b title={run.id}>{run.title}</b>
        <span>{run.cancelling && isActive(run) ? trans.__('cancelling') : run.state}</span>
      </div>
      <div className="mlops-Run-steps">
        {trans.__('%1 of %2 steps, %3 from the cache', run.steps_done, run.steps_total, run.steps_cached)}
      </div>
      {isActive(run) && (
        <div className="mlops-Run-foot">
          <progress value={progressOf(run)} max={1} aria-label={trans.__('Steps done')} />
          <button className="jp-Button jp-mod-styled jp-mod-warn" onClick={cancel} disabled={run.cancelling}>
            {trans.__('Cancel')}
          </button>
        </div>
      )}
    </li>
  );
}
