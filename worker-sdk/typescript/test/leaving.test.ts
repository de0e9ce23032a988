import { randomUUID } from "node:crypto";
import { inject, expect, onTestFinished, test } from "vitest";
import { step } from "../src/index.js";
import { FailureKind, SessionState } from "../src/gen/tasker/worker/v1/worker_pb.js";
import { bench, Gate } from "./harness/bench.js";
import { failureOf, successOf, TestCoordinator } from "./harness/coordinator.js";
import { startConformanceWorker, type WorkerProcess } from "./harness/subprocess.js";

async function workerProcess(environment: Record<string, string> = {}): Promise<WorkerProcess & { coordinator: TestCoordinator }> {
  const namespace = randomUUID();
  const coordinator = await TestCoordinator.start(inject("natsUrl"), namespace, "conformance");
  const worker = startConformanceWorker({ TASKER_NATS_URL: inject("natsUrl"), TASKER_NAMESPACE: namespace, ...environment });
  onTestFinished(async () => {
    worker.child.kill("SIGKILL");
    await worker.exited;
    await coordinator.close();
  });
  await coordinator.polls.first();
  return { ...worker, coordinator };
}

test("a drain directive finishes what is held, takes nothing new, and leaves", async () => {
  const gate = new Gate();
  const slow = step("shop.slow", async (input) => {
    await gate.pass(input);
    return "finished";
  });
  const { coordinator, ended } = await bench([slow], { drainTimeoutMs: 20_000, before: (c) => void (c.acknowledges = false) });
  const sent = coordinator.request("shop.slow", 1);
  await gate.entered.first();
  coordinator.send({ case: "drain", value: { reason: "a new build" } });
  const draining = await coordinator.beats.first((beat) => beat.state === SessionState.DRAINING);
  expect(draining.credit?.free).toBe(0);
  expect(draining.held).toHaveLength(1);

  const late = coordinator.request("shop.slow", 2);
  await coordinator.nextBeats(2);
  gate.open();
  const received = await coordinator.replyTo(sent);
  expect(successOf(received)).toBe("finished");
  expect(received.batch.credit?.free).toBe(0);
  expect(gate.entered.all).toEqual([1]);
  expect(coordinator.repliesTo(late)).toHaveLength(0);

  // It keeps beating while it waits for the acknowledgement, then says that it is gone.
  expect((await coordinator.nextBeats(2)).state).toBe(SessionState.DRAINING);
  coordinator.acknowledge(received.reply);
  const left = await coordinator.beats.first((beat) => beat.state === SessionState.LEFT);
  expect(left.held).toHaveLength(0);
  await ended;
  expect(coordinator.beats.all.at(-1)?.state).toBe(SessionState.LEFT);
});

test("after the drain timeout handlers are cancelled, and given up if they do not stop", async () => {
  const gate = new Gate();
  const sleepy = step("shop.sleepy", async (_input, ctx) => {
    gate.entered.push("sleepy");
    await new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error)));
  });
  const stubborn = step("shop.stubborn", () => gate.pass("stubborn"));
  const { coordinator, worker, ended, logs } = await bench([sleepy, stubborn], { drainTimeoutMs: 100 });
  const one = coordinator.request("shop.sleepy", {});
  const other = coordinator.request("shop.stubborn", {});
  await gate.entered.atLeast(2);
  worker.stop("the test asked for it");
  expect(failureOf(await coordinator.replyTo(one))).toMatchObject({ kind: FailureKind.CANCELLED, code: "attempt.cancelled" });
  expect(failureOf(await coordinator.replyTo(other))).toMatchObject({ kind: FailureKind.CANCELLED, code: "attempt.cancelled" });
  await ended;
  await logs.first((line) => line.message.startsWith("handlers did not stop"));
  gate.open();
  expect(coordinator.repliesTo(other)).toHaveLength(1);
});

test("an idle worker leaves at once", async () => {
  const { coordinator, worker, ended } = await bench([step("shop.echo", (input) => input)], { drainTimeoutMs: 20_000 });
  worker.stop();
  await ended;
  await coordinator.beats.first((beat) => beat.state === SessionState.LEFT);
});

test.each(["SIGTERM", "SIGINT"] as const)("%s drains a process, which then ends with code 0", async (signal) => {
  const { coordinator, child, exited } = await workerProcess();
  const sent = coordinator.request("conformance.sleep", { ms: 400 });
  await coordinator.beats.first((beat) => beat.held.length === 1);
  child.kill(signal);
  await coordinator.beats.first((beat) => beat.state === SessionState.DRAINING);
  expect(successOf(await coordinator.replyTo(sent))).toEqual({ slept_ms: 400 });
  expect(await exited).toBe(0);
  expect(coordinator.beats.all.at(-1)).toMatchObject({ state: SessionState.LEFT, held: [] });
});

test("a second signal ends the process at once", async () => {
  const { coordinator, child, exited } = await workerProcess();
  coordinator.request("conformance.sleep", { ms: 60_000 });
  await coordinator.beats.first((beat) => beat.held.length === 1);
  child.kill("SIGTERM");
  await coordinator.beats.first((beat) => beat.state === SessionState.DRAINING);
  child.kill("SIGTERM");
  expect(await exited).toBe(128 + 15);
});

test("a refused process ends with its message and a code that is not zero", async () => {
  const { coordinator, exited, logs } = await workerProcess();
  coordinator.welcomes = false;
  coordinator.send({ case: "rejoin", value: {} });
  await coordinator.hellos.atLeast(2);
  coordinator.send({ case: "refused", value: { code: "system.blocked", message: "this build is blocked", retryable: false } });
  expect(await exited).toBe(1);
  expect(logs.all.some((line) => JSON.stringify(line).includes("this build is blocked (system.blocked)"))).toBe(true);
});

test("a setting from the environment that cannot work ends the process by name", async () => {
  const worker = startConformanceWorker({ TASKER_SLOTS: "many" });
  expect(await worker.exited).toBe(1);
  expect(worker.logs.all.some((line) => String(line.message).includes('TASKER_SLOTS is "many"'))).toBe(true);
});
