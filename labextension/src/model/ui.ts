/** What the panel itself remembers: which sections are open, the filter, the last line, the last failure. */
import { Section } from '../tokens';
import { Changing } from './changes';

export type Filter = 'all' | 'notebook';

export class UiModel extends Changing {
  /** Sections that are open. */
  open: ReadonlySet<Section> = new Set<Section>(['runs', 'models', 'staging']);
  filter: Filter = 'all';
  /** Path of the notebook in front; empty when there is none. */
  notebook = '';
  /** Whether the stream is open. */
  live = false;
  /** The line that does what the last button did. */
  line = '';
  /** Why the last request failed, in the workbench's own words; empty when it did not. */
  failure = '';

  set(change: Partial<Pick<UiModel, 'open' | 'filter' | 'notebook' | 'live' | 'line' | 'failure'>>): void {
    Object.assign(this, change);
    this.tell();
  }

  toggle(section: Section): void {
    const open = new Set(this.open);
    if (!open.delete(section)) {
      open.add(section);
    }
    this.set({ open });
  }

  /** The notebook to show runs of; empty for all. */
  get scope(): string {
    return this.filter === 'notebook' ? this.notebook : '';
  }
}
