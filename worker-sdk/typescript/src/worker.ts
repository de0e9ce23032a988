/**
 * `new Worker(system, { steps }).run()`: a process that answers step requests
 * until it is told to leave.
 */
import { randomBytes } from "node:crypto";
import { Bus, type BusOptions } from "./bus.js";
import { WorkerError } from "./errors.js";
import { Logger, type LogSink, standardError } from "./log.js";
import { Session } from "./session.js";
import { checkSettings, checkSystem, type CheckedSettings, type WorkerSettings } from "./settings.js";
import type { StepDefinition } from "./step.js";
import { Subjects } from "./subjects.js";
import { setUpTracing, type ShutdownTracing, Tracing } from "./trace.js";

export interface WorkerOptions extends WorkerSettings {
  /** What this worker can do; at least one step, each capability once. */
  steps: readonly AnyStep[];
  /** Whether SIGTERM and SIGINT drain the worker. Default true. */
  handleSignals?: boolean;
  /** Options of the NATS client: an authenticator, TLS files. */
  nats?: BusOptions;
  /** Takes the log lines. Default: standard error. */
  logSink?: LogSink;
}

/** A step of any types: a list of steps has no common ones, and the worker needs none. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyStep = StepDefinition<any, any>;

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
const SIGNAL_NUMBER = { SIGTERM: 15, SIGINT: 2 } as const;

/** 22 characters of base64url. */
const SESSION_BYTES = 16;

/**
 * A worker of one system. It runs once.
 *
 * @example await new Worker("payments", { steps: [charge], slots: 8 }).run();
 */
export class Worker {
  readonly #system: string;
  readonly #options: WorkerOptions;
  readonly #settings: CheckedSettings;
  readonly #steps: ReadonlyMap<string, StepDefinition>;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  #started = false;

  /**
   * @throws WorkerError `setting.invalid`, `capability.missing`, `capability.duplicate` or `capability.slot_cost_invalid`.
   */
  constructor(system: string, options: WorkerOptions) {
    checkSystem(system);
    this.#system = system;
    this.#options = options;
    this.#settings = checkSettings(options, process.env);
    this.#steps = byName(system, options.steps);
    checkCosts(system, this.#steps, this.#settings.slots);
    this.#log = new Logger(this.#settings.logLevel, options.logSink ?? standardError).with({
      system,
      namespace: this.#settings.namespace,
    });
  }

  /**
   * Connects, joins and works until SIGTERM, SIGINT, `stop()` or the
   * coordinator's drain; resolves when everything held is finished and
   * acknowledged. Connection problems never end it.
   *
   * @throws WorkerError `session.refused` or `hello.too_large` when trying again
   *   cannot help, `worker.started` on a second run. Left uncaught it ends the
   *   process with a non-zero code.
   */
  async run(): Promise<void> {
    if (this.#started) throw new WorkerError("worker.started", "a worker runs once; make another one");
    this.#started = true;
    const removeSignals = this.#options.handleSignals === false ? () => {} : this.#handleSignals();
    const { version, namespace, subjectPrefix } = this.#settings;
    let shutdownTracing: ShutdownTracing | undefined;
    try {
      shutdownTracing = await setUpTracing(this.#system, version, process.env, this.#log);
      const subjects = new Subjects(subjectPrefix, namespace, this.#system);
      await this.#work(subjects, new Tracing(this.#system, namespace, subjectPrefix));
    } catch (error) {
      this.#log.error("the worker stopped", { cause: error });
      throw error;
    } finally {
      await shutdownTracing?.();
      removeSignals();
    }
  }

  /** Asks the worker to drain and leave, as SIGTERM does; `run` resolves afterwards. A repeat changes nothing. */
  stop(reason = "the program asked for it"): void {
    if (!this.#stop.signal.aborted) this.#stop.abort(reason);
  }

  async #work(subjects: Subjects, tracing: Tracing): Promise<void> {
    const { signal } = this.#stop;
    const id = randomBytes(SESSION_BYTES).toString("base64url");
    const { natsUrl, drainTimeoutMs } = this.#settings;
    const bus = await Bus.connect(natsUrl, subjects.to(id), this.#options.nats ?? {}, this.#log, signal);
    if (bus === undefined) return;
    try {
      await new Promise<void>((resolve, reject) => {
        const parts = { id, bus, subjects, settings: this.#settings, steps: this.#steps, tracing, log: this.#log };
        const session = new Session(parts, {
          drainAsked: (reason) => this.stop(reason),
          failed: (error) => {
            session.abort("the worker stopped");
            reject(error);
          },
        });
        const leave = (): void => void session.leave(drainTimeoutMs, String(signal.reason)).then(resolve);
        signal.addEventListener("abort", leave, { once: true });
        bus.listen({
          connected: () => session.join(),
          closed: (error) => {
            session.abort("the connection was closed");
            reject(new WorkerError("bus.closed", "the connection to the bus was closed for good", { cause: error }));
          },
        });
        session.start().catch(reject);
        if (signal.aborted) leave();
      });
    } finally {
      await bus.close();
    }
  }

  #handleSignals(): () => void {
    const onSignal = (name: (typeof SIGNALS)[number]): void => {
      if (this.#stop.signal.aborted) {
        this.#log.warn("a second signal; ending at once", { signal: name });
        process.exit(128 + SIGNAL_NUMBER[name]);
      }
      this.stop(name);
    };
    for (const name of SIGNALS) process.on(name, onSignal);
    return () => {
      for (const name of SIGNALS) process.off(name, onSignal);
    };
  }
}

function checkCosts(system: string, steps: ReadonlyMap<string, StepDefinition>, slots: number): void {
  for (const { name, slotCost } of steps.values()) {
    if (slotCost > slots) {
      const message = `Worker("${system}"): ${name} takes ${slotCost} slots, and the worker has ${slots}`;
      throw new WorkerError("capability.slot_cost_invalid", message);
    }
  }
}

function byName(system: string, steps: readonly AnyStep[]): Map<string, StepDefinition> {
  if (steps.length === 0) {
    throw new WorkerError("capability.missing", `Worker("${system}"): a worker needs at least one step`);
  }
  const named = new Map<string, StepDefinition>();
  for (const definition of steps) {
    if (named.has(definition.name)) {
      throw new WorkerError("capability.duplicate", `Worker("${system}"): ${definition.name} is given twice`);
    }
    named.set(definition.name, definition);
  }
  return named;
}
