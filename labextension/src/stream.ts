/**
 * The live half of the connection: one WebSocket that replays from the last sequence number seen.
 *
 * When the socket closes it comes back with growing pauses; while it is away, plain requests carry the same
 * messages, so a proxy without WebSockets only makes the panel a little later.
 */
import { Message } from './tokens';

/** Pauses between attempts, in milliseconds. */
export const PAUSES = [500, 1000, 2000, 5000, 10_000];

export interface ISocket {
  onopen: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  close(): void;
}

export interface IStreamOptions {
  /** Open a socket that tells everything after `since`. */
  connect: (since: number) => ISocket;
  /** Ask by a plain request instead. */
  poll: (since: number) => Promise<Message>;
  take: (message: Message) => void;
  /** Told whether the socket is open. */
  live: (open: boolean) => void;
}

export class Stream {
  constructor(options: IStreamOptions) {
    this._options = options;
  }

  /** The last sequence number taken in. */
  get seq(): number {
    return this._seq;
  }

  /** Begin, or begin again, after everything up to `seq` is known. */
  start(seq: number): void {
    this._seq = seq;
    this._stopped = false;
    if (!this._socket) {
      this._connect();
    }
  }

  stop(): void {
    this._stopped = true;
    clearTimeout(this._timer);
    const socket = this._socket;
    this._socket = null;
    socket?.close();
  }

  private _connect(): void {
    const socket = this._options.connect(this._seq);
    this._socket = socket;
    socket.onopen = () => {
      this._attempt = 0;
      this._options.live(true);
    };
    socket.onmessage = event => this._take(JSON.parse(event.data) as Message);
    socket.onclose = () => {
      if (this._socket === socket) {
        this._socket = null;
        this._options.live(false);
        this._again();
      }
    };
  }

  private _again(): void {
    const pause = PAUSES[Math.min(this._attempt, PAUSES.length - 1)];
    this._attempt += 1;
    this._timer = setTimeout(() => {
      if (this._stopped) {
        return;
      }
      void this._poll();
      this._connect();
    }, pause);
  }

  /** Catch up by a plain request; failures show as a closed stream already. */
  private async _poll(): Promise<void> {
    try {
      this._take(await this._options.poll(this._seq));
    } catch {
      // the next attempt tells
    }
  }

  private _take(message: Message): void {
    if (this._stopped) {
      return;
    }
    if (message.type === 'events') {
      const fresh = message.events.filter(event => event.seq > this._seq); // both ways may have brought it
      if (fresh.length < message.events.length && fresh.length === 0) {
        return;
      }
      this._seq = Math.max(this._seq, message.seq);
      this._options.take({ ...message, events: fresh });
      return;
    }
    if (message.type === 'reset') {
      this._seq = message.seq;
    }
    this._options.take(message);
  }

  private _attempt = 0;
  private _options: IStreamOptions;
  private _seq = 0;
  private _socket: ISocket | null = null;
  private _stopped = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
