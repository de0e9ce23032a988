/**
 * `step(…)`: a capability's name, its contract and its handler in one value.
 */
import type { z } from "zod";
import type { StepContext } from "./context.js";
import { Contract } from "./contract.js";
import { isErrorCode, WorkerError } from "./errors.js";
import { CAPABILITY_NAME_LENGTH_MAX } from "./limits.js";

/** The error codes a capability may fail with, each with the schema of its details, or null for any. */
export type ErrorContracts = Record<string, z.ZodType | null>;

/** What a handler is given: the parsed input, or `unknown` if there is no schema. */
export type InputOf<I> = I extends z.ZodType ? z.output<I> : unknown;

/** What a handler returns: the result before defaults are filled in, or anything if there is no schema. */
export type ResultOf<O> = O extends z.ZodType ? z.input<O> : unknown;

/** Plain or async: a handler that needs no waiting need not be async. */
export type Handler<I, O> = (input: InputOf<I>, ctx: StepContext) => ResultOf<O> | Promise<ResultOf<O>>;

export interface StepOptions<I, O, E> {
  /** A zod schema; requests that do not fit never reach the handler. */
  input?: I;
  /** A zod schema; results that do not fit never leave the worker. */
  output?: O;
  /** Every code this step may fail with. Left out: any code. */
  errors?: E;
  /** How long an attempt may run, in milliseconds, if the workflow does not say. */
  timeoutMs?: number;
  /** How many of the worker's slots one attempt takes, for a handler that needs more of the machine than others. Left out: as the manifest says, or 1. */
  slotCost?: number;
  /** One sentence for people. */
  description?: string;
}

/** A step, ready for a `Worker` or for the test kit. Its types are those of its schemas. */
export interface StepDefinition<I = unknown, O = unknown> {
  readonly name: string;
  readonly description: string;
  /** 0 leaves it to the workflow. */
  readonly timeoutMs: number;
  /** 0 leaves it to the manifest. */
  readonly slotCost: number;
  readonly input: Contract | undefined;
  readonly output: Contract | undefined;
  /** Undefined allows any code; a null contract allows any details. */
  readonly errors: ReadonlyMap<string, Contract | null> | undefined;
  readonly handle: (input: unknown, ctx: StepContext) => unknown;
  /** Carries the types for the test kit; it has no value. */
  readonly types?: { input: I; output: O };
}

const CAPABILITY = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

/**
 * Defines how this system answers one capability.
 *
 * The schemas are announced to the coordinator as JSON Schema 2020-12 and
 * enforced here: a handler sees only inputs that fit, and a result that does not
 * fit is reported as a contract failure (`result.invalid`). A handler may run
 * twice for one attempt if a worker dies or a network parts: hand
 * `ctx.idempotencyKey` to whoever must not act twice.
 *
 * @throws WorkerError `capability.name_invalid`, `capability.schema_unrepresentable`,
 *   `capability.error_code_invalid`, `capability.timeout_invalid`, `capability.slot_cost_invalid`.
 *
 * @example
 * const charge = step("payment.charge", { input: ChargeIn, output: ChargeOut }, async (input, ctx) => {
 *   return { id: await bank.charge(input, ctx.idempotencyKey, ctx.signal) };
 * });
 */
export function step<
  const I extends z.ZodType | undefined = undefined,
  const O extends z.ZodType | undefined = undefined,
  const E extends ErrorContracts = ErrorContracts,
>(
  name: string,
  options: StepOptions<I, O, E>,
  handler: Handler<I, O>,
): StepDefinition<I extends z.ZodType ? z.input<I> : unknown, O extends z.ZodType ? z.output<O> : unknown>;
/** The same without schemas: input is `unknown`, and any JSON may be the result. */
export function step(name: string, handler: Handler<undefined, undefined>): StepDefinition;
export function step(
  name: string,
  optionsOrHandler: StepOptions<z.ZodType, z.ZodType, ErrorContracts> | Handler<undefined, undefined>,
  maybeHandler?: (input: never, ctx: StepContext) => unknown,
): StepDefinition {
  const untyped = typeof optionsOrHandler === "function";
  const options = untyped ? {} : optionsOrHandler;
  const handler = untyped ? optionsOrHandler : maybeHandler;
  if (name.length > CAPABILITY_NAME_LENGTH_MAX || !CAPABILITY.test(name)) {
    throw new WorkerError(
      "capability.name_invalid",
      `step(${JSON.stringify(name)}): a capability is dotted lower-case words of at most ` +
        `${CAPABILITY_NAME_LENGTH_MAX} characters, like "payment.charge"`,
    );
  }
  if (typeof handler !== "function") {
    throw new WorkerError("capability.handler_missing", `step("${name}"): the last argument must be the handler`);
  }
  const timeoutMs = options.timeoutMs ?? 0;
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 0) {
    throw new WorkerError(
      "capability.timeout_invalid",
      `step("${name}"): timeoutMs is a whole number of milliseconds, or 0 to leave it to the workflow; not ${timeoutMs}`,
    );
  }
  const { slotCost } = options;
  if (slotCost !== undefined && (!Number.isSafeInteger(slotCost) || slotCost < 1)) {
    throw new WorkerError("capability.slot_cost_invalid", `step("${name}"): slotCost is a whole number from 1; not ${slotCost}`);
  }
  return {
    name,
    description: options.description ?? "",
    timeoutMs,
    slotCost: slotCost ?? 0,
    input: options.input && new Contract(options.input, "input", `step("${name}") input`),
    output: options.output && new Contract(options.output, "output", `step("${name}") output`),
    errors: options.errors && errorContracts(name, options.errors),
    handle: handler as (input: unknown, ctx: StepContext) => unknown,
  };
}

function errorContracts(name: string, errors: ErrorContracts): Map<string, Contract | null> {
  const contracts = new Map<string, Contract | null>();
  for (const [code, schema] of Object.entries(errors)) {
    if (!isErrorCode(code)) {
      throw new WorkerError(
        "capability.error_code_invalid",
        `step("${name}"): error code ${JSON.stringify(code)} must be lower-case words joined by _ or . ` +
          'and at most 64 bytes long, like "card_declined"',
      );
    }
    contracts.set(code, schema && new Contract(schema, "output", `step("${name}") details of ${code}`));
  }
  return contracts;
}
