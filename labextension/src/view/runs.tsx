/** The section Runs: one card a run, newest first. */
import { fileIcon, refreshIcon, runIcon, stopIcon, UseSignal } from '@jupyterlab/ui-components';
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { lines } from '../lines';
import { elapsed, isActive, isResumable, progressOf } from '../model/runs';
import { IRun, State } from '../tokens';
import { Badge, duration, Elapsed, Empty, IconButton, Line } from './bits';
import { useBench } from './context';

/** Cards shown at first, and more with each click. */
const FIRST = 8;
const PAGE = 30;
const LOG_MS = 1000;

export function Runs(): React.ReactElement {
  const { bench, trans } = useBench();
  const [shown, setShown] = React.useState(FIRST);
  const [open, setOpen] = React.useState('');
  const toggle = React.useCallback(
    (run: IRun) => {
      setOpen(open === run.id ? '' : run.id);
      if (open !== run.id) {
        bench.ui.set({ line: lines.logs(run) });
      }
    },
    [bench, open]
  );
  return (
    <UseSignal signal={bench.ui.changed}>
      {() => (
        <UseSignal signal={bench.runs.changed}>
          {() => {
            const runs = bench.runs.list(bench.ui.scope);
            if (runs.length === 0) {
              return bench.ui.scope ? (
                <Empty>{trans.__('No runs of this notebook yet.')}</Empty>
              ) : (
                <Empty line="%mlops capture model --inputs batch">{trans.__('No runs yet. Start one from a cell:')}</Empty>
              );
            }
            return (
              <>
                <ul className="mlops-List">
                  {runs.slice(0, shown).map(run => (
                    <Card key={run.id} run={run} open={run.id === open} toggle={toggle} />
                  ))}
                </ul>
                {runs.length > shown && (
                  <button type="button" className="mlops-More" onClick={() => setShown(shown + PAGE)}>
                    {trans.__('Show %1 more of %2', Math.min(PAGE, runs.length - shown), runs.length)}
                  </button>
                )}
              </>
            );
          }}
        </UseSignal>
      )}
    </UseSignal>
  );
}

const Card = React.memo(function Card(props: {
  run: IRun;
  open: boolean;
  toggle: (run: IRun) => void;
}): React.ReactElement {
  const { bench, trans, actions } = useBench();
  const { run, open, toggle } = props;
  const active = isActive(run);
  const took = elapsed(run, Date.now() / 1000);
  return (
    <li className="mlops-Card" data-run={run.id} data-state={run.state}>
      <div className="mlops-Card-head">
        <button
          type="button"
          className="mlops-Card-title"
          aria-expanded={open}
          title={run.line || run.title}
          onClick={() => toggle(run)}
        >
          {run.title || run.id}
        </button>
        {took !== null && (
          <span className="mlops-Dim">
            {active ? <Elapsed from_s={run.created_s} to_s={run.finished_s} /> : <time>{duration(took)}</time>}
          </span>
        )}
        <Badge kind={run.state}>{run.cancelling && active ? trans.__('cancelling') : stateName(run.state, trans)}</Badge>
      </div>
      {active && (
        <progress
          className="mlops-Progress"
          value={run.fraction === null && run.steps_done === 0 ? undefined : progressOf(run)}
          max={1}
          aria-label={trans.__('Progress of %1', run.title)}
        />
      )}
      <div className="mlops-Card-foot">
        <span className="mlops-Dim mlops-Clip">{told(run, trans)}</span>
        <span className="mlops-Actions">
          {active && (
            <IconButton
              icon={stopIcon}
              label={trans.__('Cancel')}
              disabled={run.cancelling}
              onClick={() => actions.perform(lines.cancel(run), () => bench.runs.cancel(run.id))}
            />
          )}
          {isResumable(run) && (
            <IconButton
              icon={runIcon}
              label={trans.__('Resume')}
              onClick={() => actions.perform(lines.resume(run), () => bench.runs.resume(run.id))}
            />
          )}
          {!active && run.line && (
            <IconButton
              icon={refreshIcon}
              label={run.origin ? trans.__('Run it again in its notebook') : trans.__('Insert the line to run it again')}
              onClick={() => actions.again(run)}
            />
          )}
          {run.origin && (
            <IconButton icon={fileIcon} label={trans.__('Go to the cell')} onClick={() => actions.reveal(run)} />
          )}
        </span>
      </div>
      {open && <Details run={run} />}
    </li>
  );
});

function Details(props: { run: IRun }): React.ReactElement {
  const { run } = props;
  const { trans } = useBench();
  return (
    <div className="mlops-Details">
      {run.failure && (
        <div className="mlops-Failure">
          <b>{run.failure.error}</b>: {run.failure.what}
          {run.failure.where && <div className="mlops-Dim">{run.failure.where}</div>}
          {run.failure.fix && <div>→ {run.failure.fix}</div>}
        </div>
      )}
      {run.line && <Line line={lines.again(run)} />}
      <Log run={run} />
      <div className="mlops-Dim">
        {trans.__('run %1, %2 of %3 steps done, %4 from the cache', run.id, run.steps_done, run.steps_total, run.steps_cached)}
      </div>
    </div>
  );
}

/** The end of the log, followed while the run moves. */
function Log(props: { run: IRun }): React.ReactElement {
  const { bench, trans } = useBench();
  const [text, setText] = React.useState<string | null>(null);
  const element = React.useRef<HTMLPreElement>(null);
  const active = isActive(props.run);
  React.useEffect(() => {
    let gone = false;
    const ask = (): void => {
      bench.runs.tail(props.run.id).then(
        found => !gone && setText(found),
        () => undefined
      );
    };
    ask();
    const timer = active ? setInterval(ask, LOG_MS) : undefined;
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [props.run.id, active, bench]);
  React.useEffect(() => {
    if (element.current) {
      element.current.scrollTop = element.current.scrollHeight;
    }
  }, [text]);
  if (!text) {
    return <div className="mlops-Dim">{text === null ? '…' : trans.__('Nothing was written to the log.')}</div>;
  }
  return (
    <pre className="mlops-Log" ref={element} tabIndex={0} role="log" aria-label={trans.__('Log')}>
      {text}
    </pre>
  );
}

/** One line below the title: what it does now, or where it came from. */
function told(run: IRun, trans: TranslationBundle): string {
  if (isActive(run)) {
    const share = run.fraction ? `${Math.round(100 * run.fraction)} %  ` : '';
    return `${share}${run.message ?? trans.__('starting')}`;
  }
  if (run.failure) {
    return run.failure.what;
  }
  const from = run.origin ? run.origin.split('/').pop() : trans.__('shell');
  const cached = run.steps_cached > 0 && run.steps_cached === run.steps_total ? `, ${trans.__('cached')}` : '';
  return `${from}${cached}`;
}

export function stateName(state: State, trans: TranslationBundle): string {
  const names: { [state in State]: string } = {
    pending: trans.__('pending'),
    running: trans.__('running'),
    done: trans.__('done'),
    failed: trans.__('failed'),
    cancelled: trans.__('cancelled'),
    interrupted: trans.__('interrupted')
  };
  return names[state];
}
