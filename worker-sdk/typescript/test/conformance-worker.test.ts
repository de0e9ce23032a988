/** The program that the suite drives, capability by capability, as its README lists them. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, inject, expect, test } from "vitest";
import { FailureKind } from "../src/gen/tasker/worker/v1/worker_pb.js";
import { failureOf, successOf, TestCoordinator } from "./harness/coordinator.js";
import { startConformanceWorker, type WorkerProcess } from "./harness/subprocess.js";

let coordinator: TestCoordinator;
let worker: WorkerProcess;

beforeAll(async () => {
  const namespace = randomUUID();
  coordinator = await TestCoordinator.start(inject("natsUrl"), namespace, "another_system");
  worker = startConformanceWorker({
    TASKER_NATS_URL: inject("natsUrl"),
    TASKER_NAMESPACE: namespace,
    TASKER_SYSTEM: "another_system",
    TASKER_SLOTS: "16",
  });
  await coordinator.polls.first();
});

afterAll(async () => {
  worker.child.kill("SIGKILL");
  await worker.exited;
  await coordinator.close();
});

const CAPABILITIES = ["echo", "echo_sync", "fail", "declared", "sleep", "heavy", "stubborn", "progress", "large", "wrong", "context", "log", "count"];

test("it announces every capability of the suite, each with a strict input schema", () => {
  const hello = coordinator.hellos.all[0];
  expect(hello?.slots).toBe(16);
  expect(hello?.capabilities.map((capability) => capability.name)).toEqual(CAPABILITIES.map((name) => `conformance.${name}`));
  for (const { inputSchema } of hello?.capabilities ?? []) {
    expect(JSON.parse(inputSchema)).toMatchObject({ type: "object", additionalProperties: false });
  }
  const declared = hello?.capabilities.find((capability) => capability.name === "conformance.declared");
  expect(declared?.errors.map((error) => error.code)).toEqual(["out_of_stock"]);
});

test("echo and echo_sync return their input", async () => {
  for (const name of ["conformance.echo", "conformance.echo_sync"]) {
    expect(successOf(await coordinator.ask(name, { text: "ß", number: -4 }))).toEqual({ text: "ß", number: -4 });
  }
});

test("an unknown field is refused", async () => {
  expect(failureOf(await coordinator.ask("conformance.echo", { text: "a", number: 1, more: true }))).toMatchObject({ code: "input.invalid" });
});

test.each([
  ["retryable", FailureKind.RETRYABLE, "a.code", 250n],
  ["permanent", FailureKind.PERMANENT, "a.code", 0n],
  ["contract", FailureKind.CONTRACT, "a.code", 0n],
  ["cancelled", FailureKind.CANCELLED, "a.code", 0n],
  ["unexpected", FailureKind.RETRYABLE, "handler.error", 0n],
])("fail fails as %s", async (kind, expected, code, retryAfterMs) => {
  const input = { kind, code: "a.code", message: "why", retry_after_ms: 250, details: { a: 1 } };
  const failure = failureOf(await coordinator.ask("conformance.fail", input));
  expect(failure).toMatchObject({ kind: expected, code, message: "why", retryAfterMs });
  expect(failure.details).toEqual(kind === "unexpected" ? undefined : { a: 1 });
});

test("declared fails with its declared code and details", async () => {
  const failure = failureOf(await coordinator.ask("conformance.declared", { sku: "A7" }));
  expect(failure).toMatchObject({ kind: FailureKind.PERMANENT, code: "out_of_stock", details: { sku: "A7" } });
});

test("sleep stops when cancelled and stubborn does not", async () => {
  const asleep = coordinator.request("conformance.sleep", { ms: 60_000 });
  const stubborn = coordinator.request("conformance.stubborn", { ms: 300 });
  await coordinator.beats.first((beat) => beat.held.length === 2);
  coordinator.cancel(asleep);
  coordinator.cancel(stubborn);
  expect(failureOf(await coordinator.replyTo(asleep))).toMatchObject({ kind: FailureKind.CANCELLED });
  expect(successOf(await coordinator.replyTo(stubborn))).toEqual({ slept_ms: 300 });
});

test("progress reports every step of its way", async () => {
  const sent = coordinator.request("conformance.progress", { of: 3, every_ms: 250 });
  await coordinator.replyTo(sent);
  const seen = coordinator.beats.all.flatMap((beat) => beat.held.map((held) => Buffer.from(held.progress).toString())).filter((text) => text !== "");
  expect([...new Set(seen)].slice(0, 2)).toEqual(['{"done":1,"of":3}', '{"done":2,"of":3}']);
});

test("large is as large as asked, wrong is caught, count counts, log logs", async () => {
  expect(successOf(await coordinator.ask("conformance.large", { bytes: 1_000 }))).toEqual({ blob: "x".repeat(1_000) });
  expect(failureOf(await coordinator.ask("conformance.large", { bytes: 100_000 }))).toMatchObject({ code: "payload.too_large" });
  expect(failureOf(await coordinator.ask("conformance.wrong", {}))).toMatchObject({ kind: FailureKind.CONTRACT, code: "result.invalid" });
  expect(successOf(await coordinator.ask("conformance.count", { key: "k", ms: 0 }))).toEqual({ runs: 1 });
  expect(successOf(await coordinator.ask("conformance.count", { key: "k", ms: 0 }))).toEqual({ runs: 2 });
  expect(successOf(await coordinator.ask("conformance.log", { text: "heard?" }))).toEqual({});
  expect(await worker.logs.first((line) => line.message === "heard?")).toMatchObject({ level: "info", task_id: "task-7" });
});

test("context tells what its request said", async () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  const more = { attempt: 2, attemptsMax: 3, dependencies: Buffer.from('{"a":[1]}'), traceparent: `00-${traceId}-b7ad6b7169203331-01` };
  expect(successOf(await coordinator.ask("conformance.context", {}, more))).toEqual({
    task_id: "task-7",
    step: "the-step",
    attempt: 2,
    attempts_max: 3,
    idempotency_key: "key-7",
    dependencies: { a: [1] },
    trace_id: traceId,
    workflow: "order",
  });
});
