/** The section Models: artifacts as a tree of what was made from what. */
import { addIcon, infoIcon, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { lines, next } from '../lines';
import { figuresOf, INode, labelOf, nameOf, short } from '../model/library';
import { IArtifact } from '../tokens';
import { Badge, Empty, IconButton, Line } from './bits';
import { useBench } from './context';
import { Pareto } from './pareto';

export function Models(): React.ReactElement {
  const { bench, trans } = useBench();
  return (
    <UseSignal signal={bench.library.changed}>
      {() =>
        bench.library.tree.length === 0 ? (
          <Empty line="%mlops capture model --inputs batch --name model">
            {trans.__('No models yet. Capture one from a cell:')}
          </Empty>
        ) : (
          <>
            <Tree nodes={bench.library.tree} />
            <Comparison />
          </>
        )
      }
    </UseSignal>
  );
}

function Tree(props: { nodes: readonly INode[] }): React.ReactElement {
  return (
    <ul className="mlops-Tree">
      {props.nodes.map(node => (
        <li key={node.artifact.digest}>
          <Row node={node} />
          {node.children.length > 0 && <Tree nodes={node.children} />}
        </li>
      ))}
    </ul>
  );
}

function Row(props: { node: INode }): React.ReactElement {
  const { bench, trans, actions } = useBench();
  const { artifact, refusals } = props.node;
  const name = nameOf(artifact);
  const others = artifact.names.filter(one => one !== name && !one.includes('@'));
  const figures = figuresOf(artifact);
  const drag = (event: React.DragEvent): void => event.dataTransfer.setData('text/plain', next(artifact));
  return (
    <div className="mlops-Model" data-kind={artifact.kind} data-name={name}>
      <span className="mlops-Model-head">
        <input
          type="checkbox"
          checked={bench.library.chosen.has(artifact.digest)}
          onChange={() => bench.library.choose(artifact.digest)}
          aria-label={trans.__('Compare %1', name)}
          title={trans.__('Compare %1', name)}
        />
        <button
          type="button"
          className="mlops-Model-name"
          draggable
          onDragStart={drag}
          onClick={() => actions.insert(next(artifact))}
          title={`${artifact.kind} ${[...artifact.names, artifact.digest.slice(0, 19)].join('\n')}\n${trans.__('Click or drag to insert: %1', next(artifact))}`}
        >
          {labelOf(artifact)}
        </button>
        {others.length > 0 && (
          <span className="mlops-Dim" title={others.join('\n')}>
            +{others.length}
          </span>
        )}
      </span>
      <span className="mlops-Model-figures">
        {artifact.gate === 'passed' && (
          <Badge kind="done" title={trans.__('The gate let it pass: the score dropped by no more than allowed.')}>
            {trans.__('gate passed')}
          </Badge>
        )}
        {refusals.length > 0 && (
          <Badge kind="failed" title={refusals[0].what}>
            {trans.__('%1 refused', refusals.length)}
          </Badge>
        )}
        {figures.score !== undefined && <span title={trans.__('score')}>{short(figures.score)}</span>}
        {figures.latency && <span title={trans.__('latency')}>{figures.latency}</span>}
        <span title={trans.__('size')}>{figures.size}</span>
      </span>
      <span className="mlops-Actions">
        <IconButton icon={infoIcon} label={trans.__('Insert: %1', lines.lineage(artifact))} onClick={() => actions.insert(lines.lineage(artifact))} />
        {next(artifact) !== lines.lineage(artifact) && (
          <IconButton icon={addIcon} label={trans.__('Insert: %1', next(artifact))} onClick={() => actions.insert(next(artifact))} />
        )}
      </span>
    </div>
  );
}

/** Chosen artifacts side by side. */
function Comparison(): React.ReactElement | null {
  const { bench, trans } = useBench();
  const chosen = bench.library.models.filter(one => bench.library.chosen.has(one.digest));
  if (chosen.length < 2) {
    return null;
  }
  return (
    <div className="mlops-Comparison" role="group" aria-label={trans.__('Comparison')}>
      <table>
        <thead>
          <tr>
            <th scope="col">{trans.__('model')}</th>
            <th scope="col">{trans.__('score')}</th>
            <th scope="col">{trans.__('latency')}</th>
            <th scope="col">{trans.__('size')}</th>
          </tr>
        </thead>
        <tbody>
          {chosen.map(artifact => (
            <ComparedRow key={artifact.digest} artifact={artifact} />
          ))}
        </tbody>
      </table>
      <Pareto artifacts={chosen} />
      <Line line={lines.compare(chosen)} />
    </div>
  );
}

function ComparedRow(props: { artifact: IArtifact }): React.ReactElement {
  const figures = figuresOf(props.artifact);
  return (
    <tr>
      <th scope="row">{labelOf(props.artifact)}</th>
      <td>{figures.score === undefined ? '–' : short(figures.score)}</td>
      <td>{figures.latency ?? '–'}</td>
      <td>{figures.size}</td>
    </tr>
  );
}
