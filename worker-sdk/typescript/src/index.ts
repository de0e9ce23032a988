/**
 * tasker-worker: answer Tasker's step requests from TypeScript.
 *
 * What it does: keeps a session with the coordinator, checks inputs and results
 * against the handlers' own schemas, runs handlers within the granted slots, and
 * sends every reply until it is acknowledged. What it never does: decide whether
 * to try again, order steps, or remember anything past the process. Those are
 * the coordinator's.
 *
 * Where to start reading: `step.ts` (what a user writes), `attempt.ts` (what
 * happens to one request), `session.ts` (the protocol), `worker.ts` (the process).
 */
export type { StepContext } from "./context.js";
export { Cancelled, ContractError, Permanent, Retryable, StepError, type StepErrorOptions, type Violation, WorkerError } from "./errors.js";
export type { LogFields, Logger, LogLevel, LogSink } from "./log.js";
export type { WorkerSettings } from "./settings.js";
export { type ErrorContracts, type Handler, type InputOf, type ResultOf, step, type StepDefinition, type StepOptions } from "./step.js";
export type { TraceIdentity } from "./trace.js";
export { SDK_VERSION } from "./version.js";
export { type AnyStep, Worker, type WorkerOptions } from "./worker.js";
