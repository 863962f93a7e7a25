/** All models of the panel and how they are kept up to date: load once, then follow the stream. */
import { IServer, Message } from '../tokens';
import { Changing } from './changes';
import { LibraryModel } from './library';
import { RunsModel } from './runs';
import { StagingModel } from './staging';
import { UiModel } from './ui';
import { ISystem } from '../tokens';

/** A burst of finished steps asks for the lists once. */
const SETTLE_MS = 300;

export class SystemModel extends Changing {
  system: ISystem = { findings: [], home: '' };

  constructor(private _server: IServer) {
    super();
  }

  async load(): Promise<void> {
    this.system = await this._server.system();
    this.touch();
  }
}

export class Workbench {
  readonly ui = new UiModel();
  readonly runs: RunsModel;
  readonly library: LibraryModel;
  readonly staging: StagingModel;
  readonly system: SystemModel;

  constructor(readonly server: IServer) {
    this.runs = new RunsModel(server);
    this.library = new LibraryModel(server);
    this.staging = new StagingModel(server);
    this.system = new SystemModel(server);
  }

  /** Load everything; return where to replay from. Failures are shown and thrown. */
  async load(): Promise<number> {
    const all = [this.runs.load(), this.library.load(), this.staging.load(), this.system.load()] as const;
    const [seq] = await this.attempt(() => Promise.all(all), true);
    return seq;
  }

  /** Take a message of the stream in. */
  take(message: Message): void {
    if (message.type === 'reset') {
      void this.attempt(() => Promise.all([this.runs.load(), this.staging.load()]));
    }
    this.runs.take(message);
    this.staging.take(message);
    if (this.library.concerns(message)) {
      clearTimeout(this._timer);
      this._timer = setTimeout(() => void this.attempt(() => this.library.load()), SETTLE_MS);
    }
  }

  /** Do something that may fail; a failure is shown in the panel, a success clears the last one. */
  async attempt<T>(act: () => Promise<T>, rethrow: true): Promise<T>;
  async attempt<T>(act: () => Promise<T>, rethrow?: false): Promise<T | undefined>;
  async attempt<T>(act: () => Promise<T>, rethrow = false): Promise<T | undefined> {
    try {
      const result = await act();
      if (this.ui.failure) {
        this.ui.set({ failure: '' });
      }
      return result;
    } catch (error) {
      this.ui.set({ failure: error instanceof Error ? error.message : String(error) });
      if (rethrow) {
        throw error;
      }
      return undefined;
    }
  }

  private _timer: ReturnType<typeof setTimeout> | undefined;
}
