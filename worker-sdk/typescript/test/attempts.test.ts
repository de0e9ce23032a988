import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { z } from "zod";
import { Cancelled, ContractError, Permanent, Retryable, step } from "../src/index.js";
import { FailureKind, ReplyDisposition } from "../src/gen/tasker/worker/v1/worker_pb.js";
import { bench, Gate } from "./harness/bench.js";
import { failureOf, sameBytes, successOf } from "./harness/coordinator.js";

const Order = z.strictObject({ lines: z.array(z.strictObject({ sku: z.string(), quantity: z.int() })) });
const count = step("order.count", { input: Order, output: z.object({ lines: z.int() }) }, async (input) => ({ lines: input.lines.length }));
const echo = step("shop.echo", (input) => input);

test("a result goes to the shard of its request with attempt, token and time", async () => {
  const { coordinator } = await bench([count]);
  const sent = coordinator.request("order.count", { lines: [{ sku: "a", quantity: 2 }] }, { attempt: 2, shard: 41 });
  const received = await coordinator.replyTo(sent);
  expect(successOf(received)).toEqual({ lines: 1 });
  expect(received.shard).toBe("41");
  expect(received.reply).toMatchObject({ taskId: "task-7", stepName: "the-step", attempt: 2 });
  expect(received.batch.session).toBe(coordinator.session);
});

test("a plain function answers as an async one does", async () => {
  const { coordinator } = await bench([echo]);
  expect(successOf(await coordinator.ask("shop.echo", { text: "ä", nested: [1, null] }))).toEqual({ text: "ä", nested: [1, null] });
});

test("a handler that returns nothing has the result null", async () => {
  const { coordinator } = await bench([step("shop.nothing", () => {})]);
  expect(successOf(await coordinator.ask("shop.nothing", {}))).toBeNull();
});

test("the context tells everything about the attempt", async () => {
  const look = step("shop.look", (_input, ctx) => ({
    taskId: ctx.taskId,
    step: ctx.step,
    attempt: ctx.attempt,
    attemptsMax: ctx.attemptsMax,
    workflow: ctx.workflow,
    workflowVersion: ctx.workflowVersion,
    idempotencyKey: ctx.idempotencyKey,
    dependencies: ctx.dependencies,
    secondsLeft: Math.round(((ctx.deadline?.getTime() ?? 0) - Date.now()) / 1_000),
    cancelled: ctx.cancelled,
  }));
  const { coordinator } = await bench([look]);
  const more = { attempt: 2, attemptsMax: 5, dependencies: Buffer.from('{"reserve":{"ok":true}}'), timeoutMs: 90_000n };
  expect(successOf(await coordinator.ask("shop.look", {}, more))).toEqual({
    taskId: "task-7",
    step: "the-step",
    attempt: 2,
    attemptsMax: 5,
    workflow: "order",
    workflowVersion: "2",
    idempotencyKey: "key-7",
    dependencies: { reserve: { ok: true } },
    secondsLeft: 90,
    cancelled: false,
  });
});

test("each error kind goes out as itself", async () => {
  const fail = step("shop.fail", (kind) => {
    switch (kind) {
      case "retryable":
        throw new Retryable("the bank is busy", { code: "bank.busy", afterMs: 1_500 });
      case "permanent":
        throw new Permanent("card_declined", "the bank said no", { details: { reason: "limit" } });
      case "contract":
        throw new ContractError("sums differ", { code: "sums.differ", violations: [{ pointer: "/sum", message: "is not 3" }] });
      case "cancelled":
        throw new Cancelled("nobody waits for it");
      case "bad code":
        throw new Permanent("Card Declined", "no");
      default:
        throw new TypeError("x is not a function");
    }
  });
  const { coordinator } = await bench([fail]);
  const ask = async (kind: string) => failureOf(await coordinator.ask("shop.fail", kind));
  expect(await ask("retryable")).toEqual({ kind: FailureKind.RETRYABLE, code: "bank.busy", message: "the bank is busy", retryAfterMs: 1_500n, details: undefined });
  expect(await ask("permanent")).toMatchObject({ kind: FailureKind.PERMANENT, code: "card_declined", details: { reason: "limit" }, retryAfterMs: 0n });
  expect(await ask("contract")).toMatchObject({ kind: FailureKind.CONTRACT, code: "sums.differ", details: { violations: [{ pointer: "/sum", message: "is not 3" }] } });
  expect(await ask("cancelled")).toMatchObject({ kind: FailureKind.CANCELLED, code: "attempt.cancelled", message: "nobody waits for it" });
  expect(await ask("bad code")).toMatchObject({ kind: FailureKind.PERMANENT, code: "handler.error", message: "Card Declined: no" });
  expect(await ask("unexpected")).toEqual({ kind: FailureKind.RETRYABLE, code: "handler.error", message: "x is not a function", retryAfterMs: 0n, details: undefined });
});

test("an input that does not fit never reaches the handler", async () => {
  let ran = 0;
  const strict = step("shop.strict", { input: Order }, () => {
    ran += 1;
  });
  const { coordinator } = await bench([strict]);
  const failure = failureOf(await coordinator.ask("shop.strict", { lines: [{ sku: "a", quantity: "two" }] }));
  expect(failure).toMatchObject({ kind: FailureKind.CONTRACT, code: "input.invalid" });
  expect(failure.details).toMatchObject({ violations: [{ pointer: "/lines/0/quantity", message: expect.stringContaining("expected") }] });
  const many = { lines: Array.from({ length: 50 }, () => ({})) };
  const { details } = failureOf(await coordinator.ask("shop.strict", many));
  expect((details as { violations: unknown[] }).violations).toHaveLength(20);
  const notJson = failureOf(await coordinator.ask("shop.strict", {}, { input: Buffer.from("{nope") }));
  expect(notJson).toMatchObject({ kind: FailureKind.CONTRACT, code: "input.invalid", details: { violations: [{ pointer: "" }] } });
  expect(ran).toBe(0);
});

test("a result that does not fit never leaves the worker", async () => {
  const wrong = step("shop.wrong", { output: z.object({ level: z.int().max(10) }) }, () => ({ level: 11 }));
  const { coordinator } = await bench([wrong, step("shop.cycle", () => 10n)]);
  expect(failureOf(await coordinator.ask("shop.wrong", {}))).toMatchObject({
    kind: FailureKind.CONTRACT,
    code: "result.invalid",
    details: { violations: [{ pointer: "/level" }] },
  });
  expect(failureOf(await coordinator.ask("shop.cycle", {}))).toMatchObject({ kind: FailureKind.CONTRACT, code: "result.invalid" });
});

test("an unknown capability is a permanent failure", async () => {
  const { coordinator } = await bench([echo]);
  const failure = failureOf(await coordinator.ask("shop.unheard", {}));
  expect(failure).toMatchObject({ kind: FailureKind.PERMANENT, code: "capability.unknown", message: expect.stringContaining("shop.unheard") });
});

test("a result above the payload limit is never published", async () => {
  const large = step("shop.large", (input) => "x".repeat(input as number));
  const { coordinator } = await bench([large]);
  const limit = 64 * 1024;
  // The quotes of the JSON text count.
  expect(successOf(await coordinator.ask("shop.large", limit - 2))).toHaveLength(limit - 2);
  expect(failureOf(await coordinator.ask("shop.large", limit - 1))).toMatchObject({
    kind: FailureKind.PERMANENT,
    code: "payload.too_large",
    message: expect.stringContaining(`${limit + 1} bytes and the limit is ${limit}`),
  });
});

test("a result above the server's own limit is never published either", async () => {
  const large = step("shop.large", (input) => "x".repeat(input as number));
  const { coordinator } = await bench([large], {
    before: (c) => void (c.welcome = { ...c.welcome, payloadBytesMax: 1n << 40n }),
  });
  expect(failureOf(await coordinator.ask("shop.large", 1024 * 1024))).toMatchObject({ code: "payload.too_large" });
  // The connection survived: the next attempt is answered on the same session.
  expect(successOf(await coordinator.ask("shop.large", 3))).toBe("xxx");
  expect(coordinator.hellos.all).toHaveLength(1);
});

test("a message is cut at 4 KiB between characters", async () => {
  const long = step("shop.long", () => {
    throw new Permanent("too.long", `a${"ä".repeat(4_000)}`);
  });
  const { coordinator } = await bench([long]);
  const { message } = failureOf(await coordinator.ask("shop.long", {}));
  expect(Buffer.byteLength(message)).toBe(4_095);
  expect(message).toBe(`a${"ä".repeat(2_047)}`);
});

test("a timeout cancels the handler and is retryable", async () => {
  let stoppedWith: unknown;
  const sleepy = step("shop.sleepy", async (_input, ctx) => {
    await wait(60_000, undefined, { signal: ctx.signal }).catch(() => {
      stoppedWith = ctx.signal.reason;
      return "too late to count";
    });
  });
  const { coordinator } = await bench([sleepy]);
  const received = await coordinator.ask("shop.sleepy", {}, { timeoutMs: 50n });
  expect(failureOf(received)).toMatchObject({ kind: FailureKind.RETRYABLE, code: "attempt.timeout" });
  expect(stoppedWith).toBeInstanceOf(Cancelled);
  expect(received.reply.ranMs).toBeGreaterThanOrEqual(45n);
});

test("an attempt that times out while it waits for a slot never runs", async () => {
  const gate = new Gate();
  const slow = step("shop.slow", (input) => gate.pass(input));
  const { coordinator } = await bench([slow], { slots: 1 });
  const first = coordinator.request("shop.slow", 1);
  const second = coordinator.request("shop.slow", 2, { timeoutMs: 30n });
  expect(failureOf(await coordinator.replyTo(second))).toMatchObject({ code: "attempt.timeout" });
  gate.open();
  await coordinator.replyTo(first);
  expect(gate.entered.all).toEqual([1]);
});

test("a timeout longer than a timer can hold does not fire", async () => {
  const gate = new Gate();
  const { coordinator } = await bench([step("shop.slow", () => gate.pass())]);
  const sent = coordinator.request("shop.slow", {}, { timeoutMs: 1n << 40n });
  await gate.entered.first();
  await coordinator.nextBeats(2);
  expect(coordinator.repliesTo(sent)).toHaveLength(0);
  gate.open();
  successOf(await coordinator.replyTo(sent));
});

test("a cancelled handler that stops is replied as cancelled", async () => {
  const gate = new Gate();
  const sleepy = step("shop.sleepy", async (_input, ctx) => {
    gate.entered.push(1);
    await wait(60_000, undefined, { signal: ctx.signal });
  });
  const { coordinator } = await bench([sleepy]);
  const sent = coordinator.request("shop.sleepy", {});
  await gate.entered.first();
  coordinator.cancel(sent, "the order was withdrawn");
  expect(failureOf(await coordinator.replyTo(sent))).toMatchObject({
    kind: FailureKind.CANCELLED,
    code: "attempt.cancelled",
    message: "the order was withdrawn",
  });
});

test("a cancelled handler that finishes first has its result", async () => {
  const gate = new Gate();
  let seen: boolean | undefined;
  const stubborn = step("shop.stubborn", async (_input, ctx) => {
    await gate.pass();
    seen = ctx.cancelled;
    return "done";
  });
  const { coordinator } = await bench([stubborn]);
  const sent = coordinator.request("shop.stubborn", {});
  await gate.entered.first();
  coordinator.cancel(sent);
  await coordinator.nextBeats();
  gate.open();
  expect(successOf(await coordinator.replyTo(sent))).toBe("done");
  expect(seen).toBe(true);
});

test("cancelling a token that is not held is ignored", async () => {
  const { coordinator } = await bench([echo]);
  coordinator.cancel(coordinator.prepare("shop.echo", {}));
  expect(successOf(await coordinator.ask("shop.echo", 1))).toBe(1);
  expect(coordinator.replies.all).toHaveLength(1);
});

test("a request for a running token runs once and returns its credit by poll", async () => {
  const gate = new Gate();
  const { coordinator } = await bench([step("shop.slow", () => gate.pass())], { slots: 4 });
  const sent = coordinator.request("shop.slow", {});
  await gate.entered.first();
  const polls = coordinator.polls.all.length;
  coordinator.dispatch(sent);
  const poll = await coordinator.polls.first(() => true, polls);
  expect(poll.credit).toMatchObject({ free: 3, highestSequence: 2n });
  gate.open();
  await coordinator.replyTo(sent);
  expect(gate.entered.all).toHaveLength(1);
});

test("a request for a finished token gets the kept reply and does not run again", async () => {
  let runs = 0;
  const counted = step("shop.counted", () => (runs += 1));
  const { coordinator } = await bench([counted], {
    before: (c) => {
      c.acknowledges = false;
      c.welcome = { ...c.welcome, replyResendMs: 60_000n };
    },
  });
  const sent = coordinator.request("shop.counted", {});
  const first = await coordinator.replyTo(sent);
  coordinator.dispatch(sent);
  const [, second] = await coordinator.replies.atLeast(2);
  expect(sameBytes(second?.bytes as Uint8Array, first.bytes)).toBe(true);
  expect(second?.batch.credit?.highestSequence).toBe(2n);
  expect(runs).toBe(1);
  coordinator.acknowledge(first.reply);
});

test("a reply is sent again until it is acknowledged, always the same", async () => {
  const { coordinator } = await bench([echo], { before: (c) => void (c.acknowledges = false) });
  const sent = coordinator.request("shop.echo", "again");
  const received = await coordinator.replies.atLeast(3);
  for (const { bytes } of received) expect(sameBytes(bytes, (received[0] as (typeof received)[0]).bytes)).toBe(true);
  const held = await coordinator.nextBeats();
  expect(held.held).toHaveLength(1);
  expect(held.credit?.free).toBe(8);

  coordinator.acknowledge((received[0] as (typeof received)[0]).reply);
  await coordinator.beats.first((beat) => beat.held.length === 0);
  const sentBefore = coordinator.repliesTo(sent).length;
  // Far longer than the next resend would have taken.
  await coordinator.nextBeats(12);
  expect(coordinator.repliesTo(sent)).toHaveLength(sentBefore);
});

test.each([
  [ReplyDisposition.STALE, "info"],
  [ReplyDisposition.CONFLICTING, "error"],
  [ReplyDisposition.REFUSED, "error"],
])("disposition %i ends a reply and is logged at %s", async (disposition, level) => {
  const { coordinator, logs } = await bench([echo], { before: (c) => void (c.acknowledges = false) });
  const { reply } = await coordinator.ask("shop.echo", 1);
  coordinator.acknowledge(reply, disposition, "reply.some_code");
  const line = await logs.first((candidate) => candidate.code === "reply.some_code");
  expect(line).toMatchObject({ level, task_id: "task-7", step: "the-step", attempt: 1 });
  await coordinator.beats.first((beat) => beat.held.length === 0, coordinator.beats.all.length);
});

test("credit counts running handlers and never drops below zero", async () => {
  const gate = new Gate();
  const { coordinator } = await bench([step("shop.slow", () => gate.pass())], { slots: 2 });
  const sent = [1, 2, 3].map((n) => coordinator.request("shop.slow", n));
  const beat = await coordinator.beats.first((b) => b.held.length === 3);
  expect(beat.credit).toMatchObject({ free: 0, highestSequence: 3n });
  await gate.entered.atLeast(2);
  // The third waits for a slot.
  expect(gate.entered.all).toHaveLength(2);
  gate.open();
  for (const one of sent) await coordinator.replyTo(one);
  const last = coordinator.batches.all.at(-1);
  expect(last?.credit).toMatchObject({ free: 2, highestSequence: 3n });
});

test("replies that are ready together travel together, at most 64 at once and one shard each", async () => {
  const gate = new Gate();
  const { coordinator } = await bench([step("shop.slow", () => gate.pass())], { slots: 200 });
  const sent = Array.from({ length: 150 }, (_, n) => coordinator.request("shop.slow", n, { shard: n % 2 }));
  await gate.entered.atLeast(150);
  gate.open();
  for (const one of sent) await coordinator.replyTo(one);
  const sizes = coordinator.batches.all.map((batch) => batch.replies.length);
  expect(Math.max(...sizes)).toBe(64);
  expect(sizes).toHaveLength(4);
  for (const { shard, reply } of coordinator.replies.all) {
    const number = sent.findIndex((one) => sameBytes(one.token, reply.token));
    expect(shard).toBe(String(number % 2));
  }
});

test("messages that cannot be read or name another session are ignored", async () => {
  const { coordinator, logs } = await bench([echo]);
  coordinator.connection.publish(`${coordinator.base}.to.${coordinator.session}`, Buffer.from([0xff, 0x01, 0x02]));
  await logs.first((line) => line.message === "ignored a message that cannot be read");
  expect(successOf(await coordinator.ask("shop.echo", 2))).toBe(2);
});
