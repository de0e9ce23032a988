/**
 * How a handler says that a step failed. There are four kinds, because the
 * coordinator does four different things; anything else a handler throws counts
 * as retryable with the code `handler.error`.
 *
 * A code that breaks the protocol's rule is sent as `handler.error` with the
 * original at the head of the message: a typing error in a code must not change
 * the kind of the failure.
 */
import { CODE_BYTES_MAX, VIOLATIONS_MAX } from "./limits.js";

/** One place where a value does not fit its schema; `pointer` is a JSON Pointer, empty for the whole value. */
export interface Violation {
  pointer: string;
  message: string;
}

/** What every step error may carry besides its message. */
export interface StepErrorOptions {
  /** Stable and for programs: lower-case words joined by `_` or `.`, at most 64 bytes. */
  code?: string;
  /** JSON for programs, described by the schema declared for the code. */
  details?: unknown;
  /** The error underneath; logged, never sent. */
  cause?: unknown;
}

/** The code of an error that was given none, or none that the protocol accepts. */
export const HANDLER_CODE = "handler.error";

const CODE = /^[a-z0-9]+(?:[._][a-z0-9]+)*$/;

/** Whether a text is an error code that the protocol accepts. */
export function isErrorCode(code: string): boolean {
  return code.length <= CODE_BYTES_MAX && CODE.test(code);
}

/** What the four kinds have in common. Catch it to tell step errors from accidents. */
export abstract class StepError extends Error {
  abstract readonly kind: "retryable" | "permanent" | "contract" | "cancelled";
  readonly code: string;
  readonly details: unknown;

  constructor(message: string, code: string, options: StepErrorOptions) {
    const valid = isErrorCode(code);
    super(valid ? message : `${code}: ${message}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = valid ? code : HANDLER_CODE;
    this.details = options.details;
  }
}

/**
 * Another attempt may succeed: a timeout of somebody else, a lost connection.
 *
 * `afterMs` asks for a pause before the next attempt, in milliseconds from now;
 * without it the step's retry policy decides. The code is `handler.error`
 * unless given.
 *
 * @example throw new Retryable("the bank is busy", { code: "bank.busy", afterMs: 5_000 });
 */
export class Retryable extends StepError {
  readonly kind = "retryable";
  readonly afterMs: number;

  constructor(message: string, options: StepErrorOptions & { afterMs?: number } = {}) {
    super(message, options.code ?? HANDLER_CODE, options);
    const afterMs = options.afterMs ?? 0;
    this.afterMs = Number.isFinite(afterMs) && afterMs > 0 ? Math.ceil(afterMs) : 0;
  }
}

/**
 * Another attempt would fail in the same way. The code comes first because
 * manifests decide by it; without a message the code is shown to people.
 *
 * @example throw new Permanent("card_declined", "the bank said no", { details: { reason: "limit" } });
 */
export class Permanent extends StepError {
  readonly kind = "permanent";

  constructor(code: string, message?: string, options: Omit<StepErrorOptions, "code"> = {}) {
    super(message ?? code, code, options);
  }
}

/**
 * A value broke a contract. The SDK raises it for inputs and results; a handler
 * may raise it for rules that a schema cannot say. With `violations`, the first
 * twenty become the details.
 */
export class ContractError extends StepError {
  readonly kind = "contract";
  readonly violations: readonly Violation[];

  constructor(message: string, options: StepErrorOptions & { violations?: readonly Violation[] } = {}) {
    const violations = (options.violations ?? []).slice(0, VIOLATIONS_MAX);
    const details = options.details ?? (violations.length > 0 ? { violations } : undefined);
    super(message, options.code ?? "handler.contract", { ...options, details });
    this.violations = violations;
  }
}

/**
 * The handler stopped because it was told to. It is the reason of `ctx.signal`,
 * so passing the signal on is usually all that is needed.
 */
export class Cancelled extends StepError {
  readonly kind = "cancelled";

  constructor(message = "the attempt was cancelled", options: StepErrorOptions = {}) {
    super(message, options.code ?? "attempt.cancelled", options);
  }
}

/**
 * The worker itself cannot start or go on: a wrong setting, a schema that JSON
 * Schema cannot express, a coordinator that refused the session for good.
 * `code` is stable; the message says where, why, and what to do.
 */
export class WorkerError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(`${message} [${code}]`, options);
    this.name = "WorkerError";
    this.code = code;
  }
}
