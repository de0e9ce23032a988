/**
 * The connection to NATS: made for ever, guarded against messages that the
 * server would answer by closing it, silent while there is nobody to hear.
 */
import { connect, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node";
import { WorkerError } from "./errors.js";
import {
  CONNECT_TIMEOUT_MS,
  PING_INTERVAL_MS,
  PING_OUT_MAX,
  RECONNECT_WAIT_MAX_MS,
  RECONNECT_WAIT_MS,
} from "./limits.js";
import type { Logger } from "./log.js";
import { describe } from "./outcome.js";
import { backoffMs, ReconnectPace, withTimeout } from "./timer.js";

/** One message from the bus; `status` is set on a message of the server's own, like 503 for "nobody listens". */
export interface BusMessage {
  readonly body: Uint8Array;
  readonly status: number;
}

/** Connection options of the NATS client that a program may add, such as an authenticator or TLS files. */
export type BusOptions = Pick<NodeConnectionOptions, "authenticator" | "tls" | "user" | "pass" | "token">;

/** What the bus tells its owner. */
export interface BusListener {
  connected(): void;
  closed(error: Error | undefined): void;
}

export class Bus {
  readonly #connection: NatsConnection;
  readonly #log: Logger;
  readonly #pace: ReconnectPace;
  #connected = true;

  private constructor(connection: NatsConnection, log: Logger, pace: ReconnectPace) {
    this.#connection = connection;
    this.#log = log;
    this.#pace = pace;
  }

  /**
   * Connects, trying for ever; undefined once the signal has been given.
   * `inbox` is the only inbox prefix this worker may be allowed to subscribe to.
   */
  static async connect(
    url: string,
    inbox: string,
    options: BusOptions,
    log: Logger,
    signal: AbortSignal,
  ): Promise<Bus | undefined> {
    const { servers, credentials, tls } = readUrl(url);
    const pace = new ReconnectPace(RECONNECT_WAIT_MS, RECONNECT_WAIT_MAX_MS);
    for (let tries = 0; !signal.aborted; tries += 1) {
      try {
        const connection = await connect({
          ...credentials,
          ...(tls ? { tls: {} } : {}),
          ...options,
          servers,
          inboxPrefix: inbox,
          name: "tasker-worker",
          timeout: CONNECT_TIMEOUT_MS,
          pingInterval: PING_INTERVAL_MS,
          maxPingOut: PING_OUT_MAX,
          reconnect: true,
          maxReconnectAttempts: -1,
          // Credentials may be renewed at the server while the worker waits.
          ignoreAuthErrorAbort: true,
          reconnectDelayHandler: () => pace.waitMs(),
        });
        pace.reset();
        const bus = new Bus(connection, log, pace);
        log.info("connected to the bus", { server: connection.getServer() });
        return bus;
      } catch (error) {
        const waitMs = backoffMs(tries, RECONNECT_WAIT_MS, RECONNECT_WAIT_MAX_MS);
        log.warn("no connection to the bus; trying again", {
          servers: servers.join(","),
          cause: describe(error),
          wait_ms: Math.round(waitMs),
        });
        await pause(waitMs, signal);
      }
    }
    return undefined;
  }

  /** The largest message the server takes, in bytes. */
  get payloadBytesMax(): number {
    return this.#connection.info?.max_payload ?? 1024 * 1024;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Starts reporting reconnections and the end of the connection. */
  listen(listener: BusListener): void {
    void this.#watch(listener);
    void this.#connection.closed().then((error) => {
      this.#connected = false;
      listener.closed(error instanceof Error ? error : undefined);
    });
  }

  /** Subscribes, and returns when the server has processed it. */
  async subscribe(subject: string, receive: (message: BusMessage) => void): Promise<void> {
    this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) {
          this.#log.error("the bus refused the worker's subscription; check its permissions", {
            subject,
            cause: error.message,
          });
          return;
        }
        receive({ body: message.data, status: message.headers?.code ?? 0 });
      },
    });
    await this.#connection.flush();
  }

  /**
   * Publishes unless that cannot help: while disconnected (whoever holds the
   * fact sends it again) or above the server's limit (it would close the
   * connection). Says whether the message was handed over.
   */
  publish(subject: string, body: Uint8Array, replyTo?: string): boolean {
    if (!this.#connected || this.#connection.isClosed()) return false;
    if (body.length > this.payloadBytesMax) {
      this.#log.error("a message is larger than the server takes; raise its max_payload", {
        subject,
        bytes: body.length,
        bytes_max: this.payloadBytesMax,
      });
      return false;
    }
    this.#connection.publish(subject, body, replyTo === undefined ? undefined : { reply: replyTo });
    return true;
  }

  /** Waits, for a bounded time, until the server has everything that was published. */
  async flush(): Promise<void> {
    if (!this.#connected || this.#connection.isClosed()) return;
    try {
      await withTimeout(this.#connection.flush(), CONNECT_TIMEOUT_MS);
    } catch (error) {
      this.#log.warn("the last messages may not have reached the bus", { cause: describe(error) });
    }
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #watch(listener: BusListener): Promise<void> {
    for await (const status of this.#connection.status()) {
      switch (status.type) {
        case "disconnect":
          this.#connected = false;
          this.#log.warn("disconnected from the bus; connecting again", { server: status.server });
          break;
        case "reconnect":
          this.#connected = true;
          this.#pace.reset();
          this.#log.info("connected to the bus again", { server: status.server });
          listener.connected();
          break;
        case "error":
          this.#log.error("the bus reported an error", { cause: status.error.message });
          break;
        case "slowConsumer":
        case "ldm":
        case "staleConnection":
          this.#log.warn("the bus connection is not well", { status: status.type });
          break;
        case "reconnecting":
        case "update":
        case "ping":
        case "forceReconnect":
        case "close":
          break;
      }
    }
  }
}

interface ReadUrl {
  servers: string[];
  credentials: { user?: string; pass?: string; token?: string };
  tls: boolean;
}

/**
 * Splits servers from credentials, which the client wants apart. `user:pass@`
 * is a user, a lone `word@` is a token. Exported for its test.
 */
export function readUrl(list: string): ReadUrl {
  const read: ReadUrl = { servers: [], credentials: {}, tls: false };
  for (const entry of list.split(",").map((part) => part.trim()).filter((part) => part !== "")) {
    const [, scheme, rest] = /^(?:([a-z]+):\/\/)?(.*)$/s.exec(entry) as unknown as [string, string | undefined, string];
    if (scheme === "tls") read.tls = true;
    const at = rest.lastIndexOf("@");
    read.servers.push(rest.slice(at + 1).replace(/\/+$/, ""));
    if (at < 0) continue;
    const userinfo = rest.slice(0, at);
    const colon = userinfo.indexOf(":");
    read.credentials =
      colon < 0
        ? { token: decode(userinfo) }
        : { user: decode(userinfo.slice(0, colon)), pass: decode(userinfo.slice(colon + 1)) };
  }
  return read;
}

/** @throws WorkerError `setting.invalid`, without the secret itself. */
function decode(secret: string): string {
  try {
    return decodeURIComponent(secret);
  } catch (error) {
    const message = "the user, password or token in the NATS URL (TASKER_NATS_URL or natsUrl) is not percent-encoded";
    throw new WorkerError("setting.invalid", message, { cause: error });
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
