/** The offline test kit, and through it the rules of a single attempt. */
import { setTimeout as wait } from "node:timers/promises";
import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { Cancelled, ContractError, Permanent, Retryable, step } from "../src/index.js";
import { call, observe } from "../src/testing.js";

const charge = step(
  "payment.charge",
  {
    input: z.object({ amount: z.int().positive(), currency: z.string().default("EUR") }),
    output: z.object({ id: z.string(), paid: z.boolean().default(true) }),
    errors: { card_declined: z.object({ reason: z.string() }) },
  },
  (input, ctx) => {
    expectTypeOf(input).toEqualTypeOf<{ amount: number; currency: string }>();
    if (input.amount === 13) throw new Permanent("card_declined", "no", { details: { reason: "luck" } });
    if (input.amount === 14) throw new Permanent("card_declined", "no", { details: { why: "luck" } });
    if (input.amount === 15) throw new Permanent("something_else", "no");
    ctx.heartbeat({ asked: input.currency });
    ctx.log.info("charged", { amount: input.amount });
    return { id: `${ctx.idempotencyKey}:${input.amount}` };
  },
);

test("a call returns what the coordinator would get, defaults filled in", async () => {
  const result = await call(charge, { amount: 5 }, { idempotencyKey: "k" });
  expectTypeOf(result).toEqualTypeOf<{ id: string; paid: boolean }>();
  expect(result).toEqual({ id: "k:5", paid: true });
});

test("a call refuses what production refuses", async () => {
  // @ts-expect-error the schema knows no such amount, and so does the compiler
  await expect(call(charge, { amount: "5" })).rejects.toMatchObject({ code: "input.invalid", violations: [{ pointer: "/amount" }] });
  await expect(call(charge, { amount: -5 })).rejects.toBeInstanceOf(ContractError);
});

test("a call throws the handler's own failure", async () => {
  const failure = call(charge, { amount: 13 });
  await expect(failure).rejects.toBeInstanceOf(Permanent);
  await expect(failure).rejects.toMatchObject({ code: "card_declined", message: "no", details: { reason: "luck" } });
});

test("a call is strict about the declared errors", async () => {
  await expect(call(charge, { amount: 14 })).rejects.toMatchObject({ code: "error.details_invalid", violations: [{ pointer: "/reason" }] });
  await expect(call(charge, { amount: 15 })).rejects.toMatchObject({ code: "error.undeclared" });
});

test("an observation shows the failure as it is sent, and logs what it breaks", async () => {
  const { error, logs } = await observe(charge, { amount: 14 });
  expect(error).toMatchObject({ kind: "permanent", code: "card_declined", details: { why: "luck" } });
  expect(logs).toContainEqual(expect.objectContaining({ level: "error", code: "card_declined", task_id: "task-1" }));
});

test("a details schema that throws does not cost the failure", async () => {
  const details = z.string().refine(() => {
    throw new Error("the rule itself is broken");
  });
  const fail = step("shop.fail", { errors: { odd: details } }, () => {
    throw new Permanent("odd", "no", { details: "x" });
  });
  const { error, logs } = await observe(fail, null);
  expect(error).toMatchObject({ kind: "permanent", code: "odd", details: "x" });
  expect(logs).toEqual([expect.objectContaining({ level: "error", code: "odd" })]);
});

test("an observation shows result, progress and logs", async () => {
  const seen = await observe(charge, { amount: 2 });
  expect(seen).toMatchObject({ result: { paid: true }, error: undefined, progress: { asked: "EUR" } });
  expect(seen.logs).toEqual([expect.objectContaining({ message: "charged", amount: 2, step: "payment.charge", attempt: 1 })]);
});

test("a deadline and a cancellation work without a server", async () => {
  const sleepy = step("shop.sleepy", async (_input, ctx) => {
    await wait(60_000, undefined, { signal: ctx.signal });
  });
  await expect(call(sleepy, null, { timeoutMs: 20 })).rejects.toMatchObject({ kind: "retryable", code: "attempt.timeout" });
  const controller = new AbortController();
  const pending = call(sleepy, null, { signal: controller.signal });
  controller.abort();
  await expect(pending).rejects.toBeInstanceOf(Cancelled);
});

test("an asynchronous refinement is awaited every time", async () => {
  const taken = z.string().refine(async (name) => (await Promise.resolve(name)) !== "root", "is taken");
  const register = step("user.register", { input: z.object({ name: taken }) }, (input) => input.name);
  for (let round = 0; round < 2; round += 1) {
    await expect(call(register, { name: "root" })).rejects.toMatchObject({ violations: [{ pointer: "/name", message: "is taken" }] });
    expect(await call(register, { name: "ada" })).toBe("ada");
  }
});

test("details that are too large are left out, and the kind and code remain", async () => {
  const loud = step("shop.loud", () => {
    throw new Retryable("busy", { code: "bank.busy", details: "x".repeat(200), afterMs: 10 });
  });
  const { error } = await observe(loud, null, { payloadBytesMax: 100 });
  expect(error).toMatchObject({ kind: "retryable", code: "bank.busy", details: undefined, afterMs: 10 });
  expect(error?.message).toBe("busy (details left out: 202 bytes, the limit is 100)");
});

test("dependencies that are no object are a contract failure", async () => {
  const look = step("shop.look", (_input, ctx) => ctx.dependencies);
  expect(await call(look, null, { dependencies: { a: 1 } })).toEqual({ a: 1 });
  await expect(call(look, null, { dependencies: [1] as unknown as Record<string, unknown> })).rejects.toMatchObject({ code: "input.invalid" });
});

test.each([
  ["Payment", "capability.name_invalid"],
  ["a..b", "capability.name_invalid"],
  ["", "capability.name_invalid"],
])("capability name %j is refused with %s", (name, code) => {
  expect(() => step(name, () => null)).toThrow(code);
});

test("a schema that JSON Schema cannot express is refused when the step is defined", () => {
  expect(() => step("a.b", { input: z.object({ at: z.date() }) }, () => null)).toThrow(/step\("a.b"\) input.*z\.iso\.datetime.*capability.schema_unrepresentable/);
  expect(() => step("a.b", { errors: { "Not A Code": null } }, () => null)).toThrow(/capability.error_code_invalid/);
  expect(() => step("a.b", { timeoutMs: -1 }, () => null)).toThrow(/capability.timeout_invalid/);
});
