/**
 * Runs a handler without a server: the same checks, the same JSON round trip,
 * the same outcome rules as in production.
 */
import { Attempt } from "./attempt.js";
import { breachOf } from "./attempt.js";
import type { StepError } from "./errors.js";
import { Logger } from "./log.js";
import { errorOf } from "./outcome.js";
import type { StepDefinition } from "./step.js";
import { Tracing } from "./trace.js";

/** What the handler's context says. Everything has a plain default. */
export interface ContextOverrides {
  taskId?: string;
  step?: string;
  attempt?: number;
  attemptsMax?: number;
  workflow?: string;
  workflowVersion?: string;
  idempotencyKey?: string;
  dependencies?: Record<string, unknown>;
  /** After this long the attempt is cancelled and fails with `attempt.timeout`; 0 or left out: never. */
  timeoutMs?: number;
  /** Abort it to cancel the attempt, as the coordinator would. */
  signal?: AbortSignal;
  traceparent?: string;
  /** The largest result or details in bytes; larger ones fail with `payload.too_large`. Default 1 MiB. */
  payloadBytesMax?: number;
}

/** Everything that can be seen of one attempt. Exactly one of `result` and `error` is meaningful. */
export interface Observed<O> {
  /** What went out, read back from JSON; undefined if the attempt failed. */
  result: O | undefined;
  /** What it failed with, as the coordinator would see it; undefined if it succeeded. */
  error: StepError | undefined;
  /** The latest progress, or undefined. */
  progress: unknown;
  /** The log lines, parsed. */
  logs: Record<string, unknown>[];
}

/** The default payload limit of a coordinator. */
const PAYLOAD_BYTES_MAX = 1024 * 1024;

/**
 * Runs one attempt and returns its result, or throws its failure as one of the
 * four error kinds.
 *
 * Stricter than production in one thing: a failure that breaks the step's
 * declared error contract is thrown as `ContractError` (`error.undeclared`,
 * `error.details_invalid`); production logs it and sends the failure as it is.
 *
 * @example
 * assert.deepEqual(await call(charge, { amount: 100 }), { id: "ch_1" });
 * await assert.rejects(call(charge, { amount: -1 }), { code: "input.invalid" });
 */
export async function call<I, O>(definition: StepDefinition<I, O>, input: NoInfer<I>, overrides: ContextOverrides = {}): Promise<O> {
  const { result, error } = await observe(definition, input, overrides);
  if (error === undefined) return result as O;
  throw (await breachOf(definition as StepDefinition, error)) ?? error;
}

/** Runs one attempt and returns everything that can be seen of it. Never throws for a failed attempt. */
export async function observe<I, O>(
  definition: StepDefinition<I, O>,
  input: NoInfer<I>,
  overrides: ContextOverrides = {},
): Promise<Observed<O>> {
  const logs: Record<string, unknown>[] = [];
  const log = new Logger("debug", (line) => logs.push(JSON.parse(line) as Record<string, unknown>));
  const { timeoutMs = 0, signal, payloadBytesMax = PAYLOAD_BYTES_MAX } = overrides;
  const attempt = new Attempt(requestFor(definition.name, input, overrides), definition as StepDefinition, {
    tracing: new Tracing("test", "default"),
    log,
    payloadBytesMax: () => payloadBytesMax,
  });
  const cancel = (): void => attempt.stop("cancelled", "the test cancelled the attempt");
  if (signal?.aborted) cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  const timer = timeoutMs > 0 ? setTimeout(() => attempt.stop("timeout", "the attempt took too long"), timeoutMs) : undefined;
  try {
    const outcome = await attempt.run();
    return {
      result: outcome.success ? (fromJson(outcome.result) as O) : undefined,
      error: outcome.success ? undefined : errorOf(outcome),
      progress: attempt.progress.length === 0 ? undefined : fromJson(attempt.progress),
      logs,
    };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
  }
}

function requestFor(capability: string, input: unknown, overrides: ContextOverrides) {
  const { taskId = "task-1", step = capability, attempt = 1 } = overrides;
  return {
    taskId,
    stepName: step,
    attempt,
    attemptsMax: overrides.attemptsMax ?? 0,
    capability,
    input: toJson(input ?? null),
    dependencies: toJson(overrides.dependencies ?? {}),
    idempotencyKey: overrides.idempotencyKey ?? `${taskId}/${step}`,
    timeoutMs: BigInt(overrides.timeoutMs ?? 0),
    traceparent: overrides.traceparent ?? "",
    tracestate: "",
    workflowName: overrides.workflow ?? "test",
    workflowVersion: overrides.workflowVersion ?? "1",
  };
}

function toJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value), "utf8");
}

function fromJson(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes).toString("utf8"));
}
