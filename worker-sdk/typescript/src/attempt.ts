/**
 * One attempt at one step: input checked, handler run inside its span, result
 * checked, outcome returned. It knows nothing of the bus, so the test kit runs
 * exactly what production runs.
 */
import type { StepContext } from "./context.js";
import { Cancelled, ContractError, HANDLER_CODE, StepError, type Violation } from "./errors.js";
import { FailureKind } from "./gen/tasker/worker/v1/worker_pb.js";
import { PROGRESS_BYTES_MAX } from "./limits.js";
import type { Logger } from "./log.js";
import { describe, type Failed, failed, failureOf, type Outcome } from "./outcome.js";
import type { StepDefinition } from "./step.js";
import type { AttemptSpan, TraceIdentity, Tracing } from "./trace.js";

/** What a step request says about the attempt; the fields are those of the protobuf message. */
export interface AttemptRequest {
  readonly taskId: string;
  readonly stepName: string;
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly capability: string;
  readonly input: Uint8Array;
  readonly dependencies: Uint8Array;
  readonly idempotencyKey: string;
  readonly timeoutMs: bigint;
  readonly traceparent: string;
  readonly tracestate: string;
  readonly workflowName: string;
  readonly workflowVersion: string;
}

/** What an attempt needs from the worker around it. */
export interface AttemptSurroundings {
  readonly tracing: Tracing;
  readonly log: Logger;
  /** The largest result or details that may be sent now, in bytes. */
  payloadBytesMax(): number;
}

/** Why an attempt is told to stop. */
export type StopCause = "cancelled" | "timeout" | "leaving";

const NO_DEPENDENCIES: Readonly<Record<string, unknown>> = Object.freeze({});
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** An attempt that waits, runs or has ended. It runs once. */
export class Attempt implements StepContext {
  readonly deadline: Date | undefined;
  /** The latest progress as JSON, for the next beat; empty for none. */
  progress: Uint8Array = new Uint8Array(0);
  /** How long the handler ran, in milliseconds on the monotonic clock; 0 if it never did. */
  ranMs = 0;
  dependencies: Readonly<Record<string, unknown>> = NO_DEPENDENCIES;

  readonly #request: AttemptRequest;
  readonly #definition: StepDefinition;
  readonly #surroundings: AttemptSurroundings;
  #span: AttemptSpan | undefined;
  #log: Logger | undefined;
  // Made on first use: most handlers never look at their signal, and it is the costliest part of a context.
  #controller: AbortController | undefined;
  #stop: { cause: StopCause; reason: Cancelled } | undefined;

  constructor(request: AttemptRequest, definition: StepDefinition, surroundings: AttemptSurroundings) {
    this.#request = request;
    this.#definition = definition;
    this.#surroundings = surroundings;
    const timeoutMs = Number(request.timeoutMs);
    // Beyond what a Date can hold there is no instant to show, and no handler lives to see it.
    const deadline = timeoutMs > 0 ? new Date(Date.now() + timeoutMs) : undefined;
    this.deadline = deadline !== undefined && Number.isNaN(deadline.getTime()) ? undefined : deadline;
  }

  get taskId(): string {
    return this.#request.taskId;
  }

  get step(): string {
    return this.#request.stepName;
  }

  get attempt(): number {
    return this.#request.attempt;
  }

  get attemptsMax(): number {
    return this.#request.attemptsMax;
  }

  get workflow(): string {
    return this.#request.workflowName;
  }

  get workflowVersion(): string {
    return this.#request.workflowVersion;
  }

  get idempotencyKey(): string {
    return this.#request.idempotencyKey;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#stop !== undefined) this.#controller.abort(this.#stop.reason);
    }
    return this.#controller.signal;
  }

  get cancelled(): boolean {
    return this.#stop !== undefined;
  }

  get trace(): TraceIdentity {
    return this.#runningSpan().identity;
  }

  get log(): Logger {
    this.#log ??= this.#surroundings.log.with({
      task_id: this.taskId,
      step: this.step,
      attempt: this.attempt,
      capability: this.#definition.name,
      ...(this.trace.traceId === "" ? {} : { trace_id: this.trace.traceId, span_id: this.trace.spanId }),
    });
    return this.#log;
  }

  heartbeat(progress: unknown): void {
    let bytes: Uint8Array;
    try {
      bytes = Buffer.from(JSON.stringify(progress) ?? "null", "utf8");
    } catch (error) {
      this.log.warn("progress left out: it is not JSON", { cause: describe(error) });
      return;
    }
    if (bytes.length > PROGRESS_BYTES_MAX) {
      this.log.warn("progress left out: it is too large", { bytes: bytes.length, bytes_max: PROGRESS_BYTES_MAX });
      return;
    }
    this.progress = bytes;
  }

  /** Tells the handler to stop. The first cause counts; after the end it changes nothing. */
  stop(cause: StopCause, why: string): void {
    if (this.#stop !== undefined) return;
    const code = cause === "timeout" ? "attempt.timeout" : "attempt.cancelled";
    this.#stop = { cause, reason: new Cancelled(why, { code }) };
    this.#controller?.abort(this.#stop.reason);
  }

  /** The outcome of an attempt that was stopped before, or instead of, running to its end. */
  stoppedOutcome(): Failed {
    const stop = this.#stop;
    if (stop?.cause === "timeout") {
      const limit = `its limit of ${this.#request.timeoutMs} ms`;
      return failed(FailureKind.RETRYABLE, "attempt.timeout", `the attempt did not end within ${limit}`);
    }
    return failed(FailureKind.CANCELLED, "attempt.cancelled", stop?.reason.message ?? "the attempt was cancelled");
  }

  /** Runs the attempt. Never throws: whatever happens is an outcome. */
  async run(): Promise<Outcome> {
    const span = this.#runningSpan();
    let outcome: Outcome;
    try {
      outcome = await this.#attempt(span);
    } catch (error) {
      outcome = await this.#failureOf(error);
    }
    // A handler that was too slow has lost its say, even if it returned something in the end.
    if (this.#stop?.cause === "timeout") outcome = this.stoppedOutcome();
    if (outcome.success) {
      span.succeeded();
    } else {
      span.failed(outcome.code, outcome.message);
    }
    return outcome;
  }

  async #attempt(span: AttemptSpan): Promise<Outcome> {
    const { input: contract } = this.#definition;
    let input = parseJson(this.#request.input, "input");
    this.dependencies = parseDependencies(this.#request.dependencies);
    if (contract !== undefined) {
      const checked = contract.check(input);
      const settled = checked instanceof Promise ? await checked : checked;
      if (!settled.fits) throw inputInvalid(settled.violations);
      input = settled.value;
    }
    const startedAt = performance.now();
    let result: unknown;
    try {
      result = await span.run(() => this.#definition.handle(input, this));
    } finally {
      this.ranMs = performance.now() - startedAt;
    }
    return this.#resultOf(result);
  }

  async #resultOf(returned: unknown): Promise<Outcome> {
    let result = returned;
    const { output: contract } = this.#definition;
    if (contract !== undefined) {
      const checked = contract.check(result);
      const settled = checked instanceof Promise ? await checked : checked;
      if (!settled.fits) throw resultInvalid(settled.violations);
      result = settled.value;
    }
    const bytes = encodeResult(result);
    const bytesMax = this.#surroundings.payloadBytesMax();
    if (bytes.length > bytesMax) {
      return failed(
        FailureKind.PERMANENT,
        "payload.too_large",
        `the result of ${this.#definition.name} is ${bytes.length} bytes and the limit is ${bytesMax}; ` +
          "keep the data elsewhere and return a reference to it",
      );
    }
    return { success: true, result: bytes };
  }

  async #failureOf(error: unknown): Promise<Failed> {
    if (error instanceof StepError) {
      // The coordinator judges what a contract allows; here the handler's author learns of it early.
      const breach = await breachOf(this.#definition, error).catch((cause: unknown) => cause);
      if (breach instanceof ContractError) {
        this.log.error(breach.message, { code: error.code, violations: breach.violations });
      } else if (breach !== undefined) {
        // A refinement of the user's own threw: that must not cost the reply.
        this.log.error("the schema declared for a failure's details could not be checked", { code: error.code, cause: breach });
      }
      return failureOf(error, this.#surroundings.payloadBytesMax());
    }
    // Whatever an interrupted call throws, it stopped because it was told to.
    if (this.#stop !== undefined) return this.stoppedOutcome();
    this.log.error("the handler threw an unexpected error", { cause: error });
    return failureOf(error, this.#surroundings.payloadBytesMax());
  }

  #runningSpan(): AttemptSpan {
    const { taskId, stepName, attempt, traceparent, tracestate } = this.#request;
    const capability = this.#definition.name;
    this.#span ??= this.#surroundings.tracing.start({ taskId, stepName, attempt, capability, traceparent, tracestate });
    return this.#span;
  }
}

/**
 * How a failure breaks the error contract of its step: a code that was not
 * declared, or details that do not fit the code's schema. The failure is sent
 * as it is all the same, because its kind and code are true.
 */
export async function breachOf(definition: StepDefinition, error: StepError): Promise<ContractError | undefined> {
  const { errors } = definition;
  // Contract failures and cancellations are the SDK's own; an error without a code of its own names none.
  if (errors === undefined || error.kind === "contract" || error.kind === "cancelled") return undefined;
  if (error.code === HANDLER_CODE) return undefined;
  const contract = errors.get(error.code);
  if (contract === undefined) {
    return new ContractError("the handler failed with a code that its contract does not declare", {
      code: "error.undeclared",
      violations: [{ pointer: "", message: `declared are: ${[...errors.keys()].join(", ")}; not ${error.code}` }],
    });
  }
  const checked = await contract?.check(error.details ?? null);
  if (checked === undefined || checked.fits) return undefined;
  return new ContractError("the failure's details do not fit the schema declared for its code", {
    code: "error.details_invalid",
    violations: checked.violations,
  });
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(UTF8.decode(bytes));
  } catch (error) {
    throw inputInvalid([{ pointer: "", message: `the ${what} is not JSON: ${describe(error)}` }]);
  }
}

function parseDependencies(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  if (bytes.length === 0) return NO_DEPENDENCIES;
  const parsed = parseJson(bytes, "dependencies");
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw inputInvalid([{ pointer: "", message: "the dependencies are not a JSON object" }]);
  }
  return parsed as Record<string, unknown>;
}

/** A handler that returns nothing has the result null. */
function encodeResult(result: unknown): Uint8Array {
  let text: string | undefined;
  try {
    text = result === undefined ? "null" : JSON.stringify(result);
  } catch (error) {
    throw resultInvalid([{ pointer: "", message: `the result is not JSON: ${describe(error)}` }]);
  }
  if (text === undefined) throw resultInvalid([{ pointer: "", message: `a ${typeof result} is not JSON` }]);
  return Buffer.from(text, "utf8");
}

function inputInvalid(violations: Violation[]): ContractError {
  return new ContractError("the input does not fit the capability's schema", { code: "input.invalid", violations });
}

function resultInvalid(violations: Violation[]): ContractError {
  return new ContractError("the result does not fit the capability's schema", { code: "result.invalid", violations });
}
