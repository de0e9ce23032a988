import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { beforeEach, inject, expect, onTestFinished, test } from "vitest";
import { Permanent, step } from "../src/index.js";
import { parseTraceparent } from "../src/trace.js";
import { bench } from "./harness/bench.js";
import { failureOf, successOf, TestCoordinator } from "./harness/coordinator.js";
import { Recorder } from "./harness/recorder.js";
import { startConformanceWorker } from "./harness/subprocess.js";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const PRODUCER = "b7ad6b7169203331";
const TRACEPARENT = `00-${TRACE_ID}-${PRODUCER}-01`;

const exporter = new InMemorySpanExporter();
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));

beforeEach(() => exporter.reset());

test("a handler runs in a consumer span that continues the producer's trace", async () => {
  const look = step("shop.look", async (_input, ctx) => {
    const before = trace.getSpan(context.active())?.spanContext();
    // The span must survive a real wait, not only the same turn of the event loop.
    await wait(5);
    const after = trace.getSpan(context.active())?.spanContext();
    trace.getTracer("user").startSpan("ask the bank").end();
    return { before: before?.spanId, after: after?.spanId, ...ctx.trace };
  });
  const { coordinator } = await bench([look]);
  const seen = successOf(await coordinator.ask("shop.look", {}, { traceparent: TRACEPARENT, tracestate: "vendor=x" })) as Record<string, string>;

  const spans = exporter.getFinishedSpans();
  const consumer = spans.find((span) => span.name === "process shop.look");
  expect(consumer?.kind).toBe(SpanKind.CONSUMER);
  expect(consumer?.spanContext().traceId).toBe(TRACE_ID);
  expect(consumer?.parentSpanContext?.spanId).toBe(PRODUCER);
  expect(consumer?.status.code).toBe(SpanStatusCode.UNSET);
  expect(consumer?.attributes).toEqual({
    "messaging.system": "nats",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.template": "tasker.v1.{namespace}.{system}.to.{session}",
    "messaging.message.conversation_id": "task-7",
    "tasker.task.id": "task-7",
    "tasker.step.name": "the-step",
    "tasker.attempt.number": 1,
    "tasker.capability.name": "shop.look",
    "tasker.system": "shop",
    "tasker.namespace": coordinator.base.split(".")[2],
  });
  const spanId = consumer?.spanContext().spanId as string;
  expect(seen).toEqual({
    before: spanId,
    after: spanId,
    traceId: TRACE_ID,
    spanId,
    traceparent: `00-${TRACE_ID}-${spanId}-01`,
    tracestate: "vendor=x",
  });
  const user = spans.find((span) => span.name === "ask the bank");
  expect(user?.parentSpanContext?.spanId).toBe(spanId);
});

test("a failed attempt marks its span with the code", async () => {
  const fail = step("shop.fail", () => {
    throw new Permanent("card_declined", "the bank said no");
  });
  const { coordinator } = await bench([fail]);
  failureOf(await coordinator.ask("shop.fail", {}, { traceparent: TRACEPARENT }));
  const [span] = exporter.getFinishedSpans();
  expect(span?.attributes["error.type"]).toBe("card_declined");
  expect(span?.status).toEqual({ code: SpanStatusCode.ERROR, message: "the bank said no" });
});

test("log lines inside a handler carry the attempt and its trace", async () => {
  const talk = step("shop.talk", (_input, ctx) => ctx.log.info("charging", { sku: "a", task_id: "forged" }));
  const { coordinator, logs } = await bench([talk]);
  await coordinator.ask("shop.talk", {}, { traceparent: TRACEPARENT, attempt: 3 });
  const line = await logs.first((candidate) => candidate.message === "charging");
  expect(line).toMatchObject({ level: "info", sku: "a", task_id: "task-7", step: "the-step", attempt: 3, trace_id: TRACE_ID, system: "shop" });
  expect(line.span_id).toBe(exporter.getFinishedSpans()[0]?.spanContext().spanId);
  expect(new Date(line.timestamp as string).toISOString()).toBe(line.timestamp);
});

test.each([
  ["", undefined],
  ["nonsense", undefined],
  [`ff-${TRACE_ID}-${PRODUCER}-01`, undefined],
  [`00-${"0".repeat(32)}-${PRODUCER}-01`, undefined],
  [`00-${TRACE_ID}-${PRODUCER}-01-more`, undefined],
  [`01-${TRACE_ID}-${PRODUCER}-01-more`, TRACE_ID],
  [TRACEPARENT, TRACE_ID],
])("traceparent %j belongs to trace %s", (traceparent, traceId) => {
  expect(parseTraceparent(traceparent, "")?.traceId).toBe(traceId);
});

test("a worker exports over OTLP/HTTP by itself if an endpoint is configured", async () => {
  const posts = new Recorder<{ path: string; type: string; body: string }>("an OTLP post");
  const collector = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      posts.push({ path: request.url ?? "", type: request.headers["content-type"] ?? "", body: Buffer.concat(chunks).toString("latin1") });
      response.end();
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const namespace = randomUUID();
  const coordinator = await TestCoordinator.start(inject("natsUrl"), namespace, "conformance");
  const worker = startConformanceWorker({
    TASKER_NATS_URL: inject("natsUrl"),
    TASKER_NAMESPACE: namespace,
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
  });
  onTestFinished(async () => {
    worker.child.kill("SIGKILL");
    await coordinator.close();
    collector.close();
  });
  await coordinator.polls.first();
  const echoed = await coordinator.ask("conformance.echo", { text: "a", number: 1 }, { traceparent: TRACEPARENT });
  expect(successOf(echoed)).toEqual({ text: "a", number: 1 });
  // Leaving flushes what the batch still holds.
  worker.child.kill("SIGTERM");
  expect(await worker.exited).toBe(0);
  const post = await posts.first((candidate) => candidate.body.includes("process conformance.echo"));
  expect(post.path).toBe("/v1/traces");
  expect(post.type).toBe("application/x-protobuf");
  expect(post.body).toContain(Buffer.from(TRACE_ID, "hex").toString("latin1"));
  expect(post.body).toMatch(/service\.name[^a-z]+conformance/);
});
