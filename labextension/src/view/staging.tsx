/** The section Staging: what is served, how traffic is split, how it does, and what may be done about it. */
import { UseSignal } from '@jupyterlab/ui-components';
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { lines } from '../lines';
import { bytes } from '../model/library';
import { Measure, offered, series } from '../model/staging';
import { IDeployment, IRollback, ITrack } from '../tokens';
import { Badge, Empty, Sparkline, TextButton } from './bits';
import { useBench } from './context';

export function Staging(): React.ReactElement {
  const { bench, trans } = useBench();
  return (
    <UseSignal signal={bench.staging.changed}>
      {() =>
        bench.staging.deployments.length === 0 ? (
          <Empty line="%mlops push model:int8 --to staging">{trans.__('Nothing is staged. Push a model from a cell:')}</Empty>
        ) : (
          <ul className="mlops-List">
            {bench.staging.deployments.map(one => (
              <Deployment key={`${one.name}@${one.env}`} deployment={one} />
            ))}
          </ul>
        )
      }
    </UseSignal>
  );
}

function Deployment(props: { deployment: IDeployment }): React.ReactElement {
  const { trans } = useBench();
  const { deployment } = props;
  return (
    <li className="mlops-Card" data-deployment={deployment.name} data-phase={deployment.phase}>
      <div className="mlops-Card-head">
        <b className="mlops-Clip">{deployment.name}</b>
        <span className="mlops-Dim">@{deployment.env}</span>
        <span className="mlops-Spacer" />
        {deployment.phase && <Badge kind={deployment.phase}>{phaseName(deployment.phase, trans)}</Badge>}
      </div>
      {deployment.failure && <div className="mlops-Failure">{deployment.failure}</div>}
      {deployment.url && (
        <div className="mlops-Dim mlops-Clip" title={`${deployment.url}\n${deployment.route ?? ''}`}>
          <code>{deployment.url}</code> · {deployment.route}
        </div>
      )}
      <Split tracks={deployment.tracks} />
      {deployment.rollout && (
        <div className="mlops-Dim">
          {deployment.rollout.paused ? trans.__('rollout paused; to come: %1', toCome(deployment)) : trans.__('rollout goes on; to come: %1', toCome(deployment))}
        </div>
      )}
      <Tracks tracks={deployment.tracks} />
      <Readings deployment={deployment} />
      <Operations deployment={deployment} />
      <History deployment={deployment} />
    </li>
  );
}

function toCome(deployment: IDeployment): string {
  return (deployment.rollout?.weights ?? []).map(weight => share(weight / 10_000)).join(', ');
}

/** The shares of the traffic as one bar. */
function Split(props: { tracks: readonly ITrack[] }): React.ReactElement | null {
  const { trans } = useBench();
  const shown = props.tracks.filter(track => track.weight > 0);
  if (shown.length === 0) {
    return null;
  }
  const words = shown.map(track => `${trackName(track.track, trans)} ${share(track.weight)}`).join(', ');
  return (
    <div className="mlops-Split" role="img" aria-label={trans.__('Traffic: %1', words)}>
      {shown.map(track => (
        <span key={track.track} className={`mlops-mod-${track.track}`} style={{ flexGrow: track.weight }}>
          {track.weight >= 0.15 && `${trackName(track.track, trans)} ${share(track.weight)}`}
        </span>
      ))}
    </div>
  );
}

function Tracks(props: { tracks: readonly ITrack[] }): React.ReactElement {
  const { trans } = useBench();
  return (
    <table className="mlops-Tracks">
      <thead>
        <tr>
          <th scope="col">{trans.__('track')}</th>
          <th scope="col">{trans.__('requests')}</th>
          <th scope="col">{trans.__('errors')}</th>
          <th scope="col">p50</th>
          <th scope="col">p99 ms</th>
          <th scope="col">{trans.__('memory')}</th>
        </tr>
      </thead>
      <tbody>
        {props.tracks.map(track => (
          <tr key={track.track} title={`${track.label ?? ''}\n${track.package}`}>
            <th scope="row">
              <i className={`mlops-Dot mlops-mod-${track.track}`} aria-hidden="true" />
              {trackName(track.track, trans)} v{track.version}
              {track.weight > 0 && track.weight < 0.15 ? ` ${share(track.weight)}` : ''}
            </th>
            <td>{track.requests ?? '–'}</td>
            <td className={track.errors ? 'mlops-Bad' : ''}>{track.errors ?? '–'}</td>
            <td>{track.p50_ms?.toPrecision(3) ?? '–'}</td>
            <td>{track.p99_ms?.toPrecision(3) ?? '–'}</td>
            <td>{bytes(track.replicas.reduce((sum, replica) => sum + replica.rss_bytes, 0))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Readings(props: { deployment: IDeployment }): React.ReactElement | null {
  const { trans } = useBench();
  const { history = [], tracks } = props.deployment;
  if (history.length < 2) {
    return null;
  }
  const measures: [Measure, string, string][] = [
    ['latency', trans.__('latency p99'), 'ms'],
    ['jitter', trans.__('jitter'), 'ms'],
    ['errors', trans.__('errors'), trans.__('per s')],
    ['memory', trans.__('memory'), 'MB']
  ];
  return (
    <div className="mlops-Sparks">
      {measures.map(([measure, label, unit]) => (
        <Sparkline
          key={measure}
          label={label}
          unit={unit}
          lines={tracks.map(({ track }) => ({ track, values: series(history, track, measure) }))}
        />
      ))}
    </div>
  );
}

function Operations(props: { deployment: IDeployment }): React.ReactElement {
  const { bench, trans, actions } = useBench();
  const { deployment } = props;
  const busy = bench.staging.busy.get(deployment.name);
  const known: { [operation: string]: { label: string; kind: 'accept' | 'warn' | 'plain'; body: string } } = {
    promote: {
      label: trans.__('Promote'),
      kind: 'accept',
      body: trans.__('The canary gets all requests; the stable version before it is drained and stopped.')
    },
    rollback: {
      label: trans.__('Roll back'),
      kind: 'warn',
      body: trans.__('The canary gets no more requests; without a canary, the stable version before this one comes back.')
    },
    pause: { label: trans.__('Pause'), kind: 'plain', body: trans.__('The rollout stays at its present share of the traffic.') },
    continue: { label: trans.__('Continue'), kind: 'plain', body: trans.__('The rollout goes on to its next share of the traffic.') },
    unstage: {
      label: trans.__('Unstage'),
      kind: 'plain',
      body: trans.__('All replicas stop and the address is freed. Requests fail from then on.')
    }
  };
  return (
    <div className="mlops-Operations">
      {offered(deployment, bench.staging.operations).map(operation => {
        const { label, kind, body } = known[operation] ?? { label: operation, kind: 'plain', body: '' };
        const line = lines.operate(deployment.name, operation);
        const act = (): void =>
          actions.perform(line, () => bench.staging.operate(deployment.name, operation), {
            title: `${label}: ${deployment.name}@${deployment.env}`,
            body
          });
        return (
          <TextButton key={operation} kind={kind} disabled={busy !== undefined} title={line} onClick={act}>
            {busy === operation ? `${label} …` : label}
          </TextButton>
        );
      })}
    </div>
  );
}

/** What happened, newest first, with the evidence of roll-backs that the sentinel decided. */
function History(props: { deployment: IDeployment }): React.ReactElement | null {
  const { trans } = useBench();
  const { events, rollbacks } = props.deployment;
  if (events.length === 0 && rollbacks.length === 0) {
    return null;
  }
  return (
    <details className="mlops-History">
      <summary>{trans.__('Events')}</summary>
      {[...rollbacks].reverse().map(one => (
        <div key={one.decided_ns} className="mlops-Rollback">
          <b>{trans.__('version %1 rolled back by the %2', one.version, who(one.by, trans))}</b> {evidence(one, trans)}
          <time className="mlops-Dim">{clock(one.decided_ns)}</time>
        </div>
      ))}
      <ul>
        {[...events].reverse().map(event => (
          <li key={`${event.time_ns}${event.kind}`}>
            <time className="mlops-Dim">{clock(event.time_ns)}</time> {event.text}
          </li>
        ))}
      </ul>
    </details>
  );
}

function who(by: string, trans: TranslationBundle): string {
  const names: { [by: string]: string } = {
    person: trans.__('person'),
    sentinel: trans.__('sentinel'),
    supervisor: trans.__('supervisor')
  };
  return names[by] ?? by;
}

function evidence(one: IRollback, trans: TranslationBundle): string {
  if (one.by !== 'sentinel') {
    return one.reason;
  }
  const numbers = trans.__('%1 of the last %2 bad; allowed: %3 of stable + %4', one.observed, one.window, one.stable, one.budget);
  return `${one.reason}: ${numbers}`;
}

function clock(ns: number): string {
  return new Date(ns / 1e6).toLocaleTimeString();
}

function share(weight: number): string {
  return `${Number((100 * weight).toPrecision(3))} %`;
}

function trackName(track: string, trans: TranslationBundle): string {
  const names: { [track: string]: string } = {
    stable: trans.__('stable'),
    canary: trans.__('canary'),
    draining: trans.__('draining')
  };
  return names[track] ?? track;
}

function phaseName(phase: string, trans: TranslationBundle): string {
  const names: { [phase: string]: string } = {
    stable: trans.__('stable'),
    canary: trans.__('canary'),
    draining: trans.__('draining'),
    'rolled-back': trans.__('rolled back')
  };
  return names[phase] ?? phase;
}
