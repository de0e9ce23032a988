/**
 * The program that the conformance suite drives: the capabilities of
 * `worker-sdk/conformance/README.md`, and nothing else.
 */
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { Cancelled, ContractError, Permanent, Retryable, step, Worker } from "./src/index.js";

const Echo = z.strictObject({ text: z.string(), number: z.int() });
const Empty = z.strictObject({});
const Ms = z.strictObject({ ms: z.int().min(0) });
const Slept = z.strictObject({ slept_ms: z.int() });
const Json = z.record(z.string(), z.json());

const Fail = z.strictObject({
  kind: z.enum(["retryable", "permanent", "cancelled", "contract", "unexpected"]),
  code: z.string().optional(),
  message: z.string().optional(),
  retry_after_ms: z.int().min(0).optional(),
  details: Json.optional(),
});

const echo = step("conformance.echo", { input: Echo, output: Echo }, async (input) => input);

const echoSync = step("conformance.echo_sync", { input: Echo, output: Echo }, (input) => input);

const fail = step("conformance.fail", { input: Fail }, ({ kind, code, message, retry_after_ms, details }) => {
  const text = message ?? `asked to fail: ${kind}`;
  switch (kind) {
    case "retryable":
      throw new Retryable(text, { code, details, afterMs: retry_after_ms });
    case "permanent":
      throw new Permanent(code ?? "conformance.failed", text, { details });
    case "contract":
      throw new ContractError(text, { code, details });
    case "cancelled":
      throw new Cancelled(text, { code, details });
    case "unexpected":
      throw new Error(text);
  }
});

const declared = step(
  "conformance.declared",
  { input: z.strictObject({ sku: z.string() }), errors: { out_of_stock: z.strictObject({ sku: z.string() }) } },
  ({ sku }) => {
    throw new Permanent("out_of_stock", `${sku} is out of stock`, { details: { sku } });
  },
);

const sleep = step("conformance.sleep", { input: Ms, output: Slept }, async ({ ms }, ctx) => {
  await wait(ms, undefined, { signal: ctx.signal });
  return { slept_ms: ms };
});

const heavy = step("conformance.heavy", { input: Ms, output: Slept, slotCost: 2 }, async ({ ms }, ctx) => {
  await wait(ms, undefined, { signal: ctx.signal });
  return { slept_ms: ms };
});

const stubborn = step("conformance.stubborn", { input: Ms, output: Slept }, async ({ ms }) => {
  await wait(ms);
  return { slept_ms: ms };
});

const progress = step(
  "conformance.progress",
  { input: z.strictObject({ of: z.int().min(0), every_ms: z.int().min(0) }), output: z.strictObject({ done: z.int() }) },
  async ({ of, every_ms }, ctx) => {
    for (let done = 1; done <= of; done += 1) {
      if (done > 1) await wait(every_ms, undefined, { signal: ctx.signal });
      ctx.heartbeat({ done, of });
    }
    return { done: of };
  },
);

const large = step(
  "conformance.large",
  { input: z.strictObject({ bytes: z.int().min(0) }), output: z.strictObject({ blob: z.string() }) },
  ({ bytes }) => ({ blob: "x".repeat(bytes) }),
);

const wrong = step(
  "conformance.wrong",
  { input: Empty, output: z.strictObject({ level: z.int().min(0).max(10) }) },
  () => ({ level: 11 }),
);

const context = step("conformance.context", { input: Empty }, (_input, ctx) => ({
  task_id: ctx.taskId,
  step: ctx.step,
  attempt: ctx.attempt,
  attempts_max: ctx.attemptsMax,
  idempotency_key: ctx.idempotencyKey,
  dependencies: ctx.dependencies,
  trace_id: ctx.trace.traceId,
  workflow: ctx.workflow,
}));

const log = step("conformance.log", { input: z.strictObject({ text: z.string() }), output: Empty }, ({ text }, ctx) => {
  ctx.log.info(text);
  return {};
});

const runs = new Map<string, number>();
const count = step(
  "conformance.count",
  { input: z.strictObject({ key: z.string(), ms: z.int().min(0) }), output: z.strictObject({ runs: z.int() }) },
  async ({ key, ms }, ctx) => {
    const counted = (runs.get(key) ?? 0) + 1;
    runs.set(key, counted);
    await wait(ms, undefined, { signal: ctx.signal });
    return { runs: counted };
  },
);

await new Worker(process.env.TASKER_SYSTEM || "conformance", {
  version: "0.1.0",
  steps: [echo, echoSync, fail, declared, sleep, heavy, stubborn, progress, large, wrong, context, log, count],
}).run();
