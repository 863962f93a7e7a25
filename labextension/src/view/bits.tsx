/** Small parts that several sections use. */
import { addIcon, copyIcon, LabIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { sparkline } from '../model/staging';
import { useBench } from './context';

/** A button that is only an icon; its label is read aloud and shown when hovered. */
export function IconButton(props: {
  icon: LabIcon;
  label: string;
  onClick: () => void;
  disabled?: boolean;
  pressed?: boolean;
}): React.ReactElement {
  return (
    <button
      type="button"
      className="mlops-IconButton"
      aria-label={props.label}
      title={props.label}
      aria-pressed={props.pressed}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      <props.icon.react tag="span" width="14px" height="14px" aria-hidden="true" />
    </button>
  );
}

/** A button with words. */
export function TextButton(props: {
  children: React.ReactNode;
  onClick: () => void;
  kind?: 'plain' | 'accept' | 'warn';
  disabled?: boolean;
  title?: string;
}): React.ReactElement {
  return (
    <button
      type="button"
      className={`mlops-TextButton mlops-mod-${props.kind ?? 'plain'}`}
      disabled={props.disabled}
      title={props.title}
      onClick={props.onClick}
    >
      {props.children}
    </button>
  );
}

/** A `%mlops` line that can be put into the notebook or copied. */
export function Line(props: { line: string }): React.ReactElement {
  const { trans, actions } = useBench();
  return (
    <div className="mlops-Line">
      <code title={props.line}>{props.line}</code>
      <IconButton
        icon={addIcon}
        label={trans.__('Insert into the notebook')}
        onClick={() => actions.insert(props.line)}
      />
      <IconButton icon={copyIcon} label={trans.__('Copy')} onClick={() => actions.copy(props.line)} />
    </div>
  );
}

/** Some readings as a line, newest on the right; says its last value. */
export function Sparkline(props: {
  label: string;
  unit: string;
  lines: { track: string; values: readonly number[] }[];
}): React.ReactElement {
  const shown = props.lines.filter(line => line.values.length > 0);
  const last = shown.map(line => Number(line.values[line.values.length - 1].toPrecision(3)));
  const figures = last.map(value => `${value}`).join(' / ');
  const text = shown.length ? `${figures} ${props.unit}` : '–';
  const top = Math.max(...shown.flatMap(line => line.values), 1e-9);
  return (
    <div className="mlops-Spark">
      <span className="mlops-Spark-label">{props.label}</span>
      <svg viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label={`${props.label}: ${text}`}>
        {shown.map(line => (
          <polyline
            key={line.track}
            className={`mlops-mod-${line.track}`}
            points={sparkline(line.values, 100, 24, top)}
          />
        ))}
      </svg>
      <span className="mlops-Spark-value">{text}</span>
    </div>
  );
}

/** What stands where there is nothing yet: a sentence, and the line that changes that. */
export function Empty(props: { children: React.ReactNode; line?: string }): React.ReactElement {
  return (
    <div className="mlops-Empty">
      <p>{props.children}</p>
      {props.line && <Line line={props.line} />}
    </div>
  );
}

/** A word in a frame. */
export function Badge(props: { kind: string; children: React.ReactNode; title?: string }): React.ReactElement {
  return (
    <span className={`mlops-Badge mlops-mod-${props.kind}`} title={props.title}>
      {props.children}
    </span>
  );
}

/** Seconds that go on while something runs. */
export function Elapsed(props: { from_s: number; to_s: number | null }): React.ReactElement {
  const [now, setNow] = React.useState(Date.now() / 1000);
  React.useEffect(() => {
    if (props.to_s !== null) {
      return;
    }
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [props.to_s]);
  return <time>{duration(Math.max(0, (props.to_s ?? now) - props.from_s))}</time>;
}

/** A duration as people write it. */
export function duration(seconds: number): string {
  if (seconds < 10) {
    return `${seconds.toFixed(1)} s`;
  }
  if (seconds < 120) {
    return `${Math.round(seconds)} s`;
  }
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}
