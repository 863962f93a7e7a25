/** The sections Profiles and System. */
import { launchIcon, refreshIcon, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { lines } from '../lines';
import { bytes, nameOf } from '../model/library';
import { IFinding } from '../tokens';
import { Badge, Empty, IconButton, Line } from './bits';
import { useBench } from './context';

export function Profiles(): React.ReactElement {
  const { bench, trans, actions } = useBench();
  return (
    <UseSignal signal={bench.library.changed}>
      {() =>
        bench.library.profiles.length === 0 ? (
          <Empty line="%%mlops profile model:int8">{trans.__('No profiles yet. Put this line above the code to trace:')}</Empty>
        ) : (
          <ul className="mlops-List">
            {bench.library.profiles.map(one => (
              <li key={one.digest} className="mlops-Row" data-profile={nameOf(one)}>
                <button type="button" className="mlops-Card-title" onClick={() => actions.profile(one)} title={one.digest}>
                  {one.names[0] ?? one.digest.slice(0, 19)}
                </button>
                <span className="mlops-Dim">
                  {new Date(one.created_s * 1000).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'short' })} · {bytes(one.size_bytes)}
                </span>
                <IconButton icon={launchIcon} label={trans.__('Open the report')} onClick={() => actions.profile(one)} />
              </li>
            ))}
          </ul>
        )
      }
    </UseSignal>
  );
}

export function System(): React.ReactElement {
  const { bench, trans } = useBench();
  return (
    <UseSignal signal={bench.system.changed}>
      {() => {
        const { findings, home } = bench.system.system;
        const one = (what: string): IFinding | undefined => findings.find(finding => finding.what === what);
        const hints = findings.filter(finding => finding.fix);
        const features = one('CPU features')?.value.split(' ') ?? [];
        return (
          <div className="mlops-System">
            <dl>
              <Fact name={trans.__('tracing')} finding={one('tracing tier')} />
              <Fact name={trans.__('routing')} finding={one('routing tier')} />
              <Fact name={trans.__('processor')} finding={one('processor')} />
              <Fact name={trans.__('memory')} finding={one('memory')} />
            </dl>
            <div className="mlops-Chips" role="group" aria-label={trans.__('CPU features')}>
              {features.map(name => (
                <Badge key={name} kind="info">
                  {name}
                </Badge>
              ))}
            </div>
            <div className="mlops-Chips" role="group" aria-label={trans.__('Backends')}>
              {findings
                .filter(finding => finding.group === 'backends')
                .map(finding => (
                  <Badge key={finding.what} kind={finding.state === 'ok' ? 'done' : 'cancelled'} title={finding.fix || finding.value}>
                    {finding.what}
                  </Badge>
                ))}
            </div>
            {hints.length > 0 && (
              <details className="mlops-History">
                <summary>{trans.__('Hints of the doctor: %1', hints.length)}</summary>
                <ul>
                  {hints.map(finding => (
                    <li key={finding.what}>
                      <b>{finding.what}</b> <span className="mlops-Dim">{finding.value}</span>
                      <div>→ {finding.fix}</div>
                    </li>
                  ))}
                </ul>
              </details>
            )}
            <div className="mlops-Dim mlops-Clip" title={home}>
              {trans.__('store')} {home}
            </div>
            <div className="mlops-Row">
              <Line line={lines.doctor()} />
              <IconButton
                icon={refreshIcon}
                label={trans.__('Examine again')}
                onClick={() => void bench.attempt(() => bench.system.load())}
              />
            </div>
          </div>
        );
      }}
    </UseSignal>
  );
}

function Fact(props: { name: string; finding?: IFinding }): React.ReactElement | null {
  if (!props.finding) {
    return null;
  }
  return (
    <>
      <dt>{props.name}</dt>
      <dd data-state={props.finding.state} title={props.finding.fix}>
        {props.finding.value}
      </dd>
    </>
  );
}
