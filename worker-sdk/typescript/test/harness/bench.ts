/** A worker inside the test process and the coordinator that drives it, each pair in its own namespace. */
import { randomUUID } from "node:crypto";
import { inject, onTestFinished } from "vitest";
import { type AnyStep, Worker, type WorkerOptions } from "../../src/index.js";
import { TestCoordinator } from "./coordinator.js";
import { Recorder } from "./recorder.js";

export type LogLine = Record<string, unknown> & { level: string; message: string };

export interface Bench {
  coordinator: TestCoordinator;
  worker: Worker;
  /** Settles when the worker has ended; read it only in tests that end it. */
  ended: Promise<void>;
  logs: Recorder<LogLine>;
}

export interface BenchOptions extends Partial<Omit<WorkerOptions, "steps">> {
  /** Changes the coordinator before the worker starts. */
  before?: (coordinator: TestCoordinator) => void | Promise<void>;
  /** Whether to wait for the first poll, which follows the welcome. Default true. */
  joined?: boolean;
  url?: string;
  listen?: boolean;
}

export async function bench(steps: readonly AnyStep[], options: BenchOptions = {}): Promise<Bench> {
  const { before, joined = true, url = inject("natsUrl"), listen, ...workerOptions } = options;
  const namespace = randomUUID();
  const coordinator = await TestCoordinator.start(url, namespace, "shop", { listen });
  await before?.(coordinator);
  const logs = new Recorder<LogLine>("a log line");
  const worker = new Worker("shop", {
    steps,
    natsUrl: url,
    namespace,
    handleSignals: false,
    logLevel: "debug",
    drainTimeoutMs: 0,
    logSink: (line) => logs.push(JSON.parse(line) as LogLine),
    ...workerOptions,
  });
  const ended = worker.run();
  ended.catch(() => {});
  onTestFinished(async () => {
    // What a test left open must not hold up its end: acknowledge everything and leave.
    coordinator.acknowledges = true;
    worker.stop("the test is over");
    await ended.catch(() => {});
    await coordinator.close();
  });
  if (joined) await coordinator.polls.first();
  return { coordinator, worker, ended, logs };
}

/** A handler's gate: it waits until the test opens it, whatever its signal says. */
export class Gate {
  readonly entered = new Recorder<unknown>("an entry at the gate");
  readonly #open: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.#open = new Promise((resolve) => {
      this.open = resolve;
    });
  }

  async pass(who: unknown = "somebody"): Promise<void> {
    this.entered.push(who);
    await this.#open;
  }
}
