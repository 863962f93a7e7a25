/** The side panel: a pure function of the models. */
import { TranslationBundle } from '@jupyterlab/translation';
import { caretDownIcon, caretRightIcon, closeIcon, ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { Workbench } from '../model/workbench';
import { Section, SECTIONS } from '../tokens';
import { IconButton, Line } from './bits';
import { Context, IActions, useBench } from './context';
import { Models } from './models';
import { Profiles, System } from './profiles';
import { Runs } from './runs';
import { Staging } from './staging';

const BODIES: { [section in Section]: () => React.ReactElement } = {
  runs: Runs,
  models: Models,
  staging: Staging,
  profiles: Profiles,
  system: System
};

export class Panel extends ReactWidget {
  constructor(bench: Workbench, trans: TranslationBundle, actions: IActions) {
    super();
    this._context = { bench, trans, actions };
    this.addClass('mlops-Contents');
  }

  protected render(): React.ReactElement {
    return (
      <Context.Provider value={this._context}>
        <Frame />
      </Context.Provider>
    );
  }

  private _context;
}

function Frame(): React.ReactElement {
  const { bench, trans } = useBench();
  return (
    <UseSignal signal={bench.ui.changed}>
      {() => (
        <div className="mlops-Frame" role="region" aria-label={trans.__('MLOps workbench')}>
          <Header />
          {bench.ui.failure && (
            <div role="alert" className="mlops-Alert">
              <span>{bench.ui.failure}</span>
              <IconButton icon={closeIcon} label={trans.__('Dismiss')} onClick={() => bench.ui.set({ failure: '' })} />
            </div>
          )}
          <div className="mlops-Body">
            {SECTIONS.map(section => (
              <Part key={section} section={section} />
            ))}
          </div>
          {bench.ui.line && (
            <footer className="mlops-Footer" aria-live="polite">
              <span className="mlops-Dim">{trans.__('The same as a line:')}</span>
              <Line line={bench.ui.line} />
            </footer>
          )}
        </div>
      )}
    </UseSignal>
  );
}

function Header(): React.ReactElement {
  const { bench, trans } = useBench();
  const { filter, live } = bench.ui;
  return (
    <header className="mlops-Header">
      <span
        className="mlops-Live"
        data-live={live}
        role="status"
        title={live ? trans.__('Connected: changes show at once') : trans.__('Reconnecting')}
      >
        {live ? trans.__('live') : trans.__('reconnecting')}
      </span>
      <div className="mlops-Filter" role="group" aria-label={trans.__('Runs of')}>
        <button type="button" aria-pressed={filter === 'notebook'} onClick={() => bench.ui.set({ filter: 'notebook' })}>
          {trans.__('This notebook')}
        </button>
        <button type="button" aria-pressed={filter === 'all'} onClick={() => bench.ui.set({ filter: 'all' })}>
          {trans.__('All')}
        </button>
      </div>
    </header>
  );
}

function Part(props: { section: Section }): React.ReactElement {
  const { bench } = useBench();
  const { section } = props;
  const open = bench.ui.open.has(section);
  const Body = BODIES[section];
  const caret = open ? caretDownIcon : caretRightIcon;
  return (
    <section className="mlops-Section" data-section={section}>
      <h2>
        <button
          type="button"
          id={`mlops-head-${section}`}
          aria-expanded={open}
          aria-controls={open ? `mlops-body-${section}` : undefined}
          onClick={() => bench.ui.toggle(section)}
        >
          <caret.react tag="span" aria-hidden="true" />
          <Title section={section} />
        </button>
      </h2>
      {open && (
        <div id={`mlops-body-${section}`} role="group" aria-labelledby={`mlops-head-${section}`}>
          <Body />
        </div>
      )}
    </section>
  );
}

/** A section's name and how much there is in it. */
function Title(props: { section: Section }): React.ReactElement {
  const { bench, trans } = useBench();
  const { section } = props;
  const names: { [section in Section]: string } = {
    runs: trans.__('Runs'),
    models: trans.__('Models'),
    staging: trans.__('Staging'),
    profiles: trans.__('Profiles'),
    system: trans.__('System')
  };
  const signal = { runs: bench.runs, models: bench.library, staging: bench.staging, profiles: bench.library, system: bench.system }[
    section
  ].changed as typeof bench.runs.changed;
  const count = (): number =>
    ({
      runs: bench.runs.active,
      models: bench.library.models.length,
      staging: bench.staging.deployments.length,
      profiles: bench.library.profiles.length,
      system: bench.system.system.findings.filter(one => one.state === 'bad').length
    })[section];
  return (
    <UseSignal signal={signal}>
      {() => (
        <>
          <span>{names[section]}</span>
          {count() > 0 && <span className="mlops-Count">{count()}</span>}
        </>
      )}
    </UseSignal>
  );
}
