import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { z } from "zod";
import { step, Worker } from "../src/index.js";
import { SessionState } from "../src/gen/tasker/worker/v1/worker_pb.js";
import { SDK_VERSION } from "../src/version.js";
import { bench, Gate } from "./harness/bench.js";
import { sameBytes, successOf, TestCoordinator } from "./harness/coordinator.js";
import { freePort, NatsServer } from "./harness/nats-server.js";
import { Recorder } from "./harness/recorder.js";

const echo = step("shop.echo", (input) => input);

test("a hello announces capabilities, schemas, slots and the sdk", async () => {
  const charge = step(
    "payment.charge",
    {
      input: z.strictObject({ amount: z.int() }),
      output: z.object({ id: z.string() }),
      errors: { card_declined: z.object({ reason: z.string() }).describe("the bank said no"), bank_closed: null },
      timeoutMs: 45_000,
      description: "Charges a card.",
    },
    () => ({ id: "c1" }),
  );
  const { coordinator } = await bench([charge, echo], { slots: 3, version: "4.2.0" });
  const hello = await coordinator.hellos.first();

  expect(hello.session).toMatch(/^[A-Za-z0-9_-]{22}$/);
  expect(coordinator.helloReplySubjects[0]).toBe(`${coordinator.base}.to.${hello.session}`);
  expect(hello).toMatchObject({ systemVersion: "4.2.0", slots: 3, processId: process.pid, held: [] });
  expect(hello.sdk).toMatchObject({ name: "tasker-worker", version: SDK_VERSION, language: "typescript" });
  const [first, second] = hello.capabilities;
  expect(first).toMatchObject({ name: "payment.charge", timeoutMs: 45_000n, description: "Charges a card." });
  expect(JSON.parse(first?.inputSchema ?? "")).toMatchObject({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    properties: { amount: { type: "integer" } },
    required: ["amount"],
    additionalProperties: false,
  });
  expect(JSON.parse(first?.resultSchema ?? "")).toMatchObject({ properties: { id: { type: "string" } } });
  expect(first?.errors.map((error) => error.code)).toEqual(["card_declined", "bank_closed"]);
  expect(JSON.parse(first?.errors[0]?.detailsSchema ?? "")).toMatchObject({ required: ["reason"] });
  expect(first?.errors[0]?.description).toBe("the bank said no");
  expect(first?.errors[1]?.detailsSchema).toBe("");
  expect(second).toMatchObject({ name: "shop.echo", inputSchema: "", resultSchema: "", errors: [] });
});

test("the first poll grants every slot", async () => {
  const { coordinator } = await bench([echo], { slots: 5 });
  const poll = await coordinator.polls.first();
  expect(poll.session).toBe(coordinator.session);
  expect(poll.credit).toMatchObject({ free: 5, highestSequence: 0n, expiresInMs: 0n });
});

test("a hello without an answer is repeated after a second and polls only after the welcome", async () => {
  const { coordinator } = await bench([echo], { joined: false, before: (c) => void (c.welcomes = false) });
  const [first, second] = await coordinator.hellos.atLeast(2);
  expect(second?.session).toBe(first?.session);
  expect(coordinator.polls.all).toHaveLength(0);
  coordinator.sendWelcome(coordinator.session);
  await coordinator.polls.first();
});

test("a bus without a coordinator is said, and joined when one comes", async () => {
  const { coordinator, logs } = await bench([echo], { joined: false, listen: false });
  await logs.first((line) => line.level === "warn" && line.message.startsWith("no coordinator listens"));
  await coordinator.listen();
  await coordinator.polls.first();
});

test("a refusal for good ends the run with its code", async () => {
  const { coordinator, ended, logs } = await bench([echo], { joined: false, before: (c) => void (c.welcomes = false) });
  await coordinator.hellos.first();
  coordinator.send({ case: "refused", value: { code: "capability.incompatible", message: "payment.charge lost a field", retryable: false } });
  await expect(ended).rejects.toMatchObject({ code: "session.refused", message: expect.stringContaining("payment.charge lost a field (capability.incompatible)") });
  await logs.first((line) => line.level === "error");
});

test("a refusal for now is tried again", async () => {
  const { coordinator } = await bench([echo], { joined: false, before: (c) => void (c.welcomes = false) });
  await coordinator.hellos.first();
  coordinator.send({ case: "refused", value: { code: "registry.busy", message: "later", retryable: true } });
  coordinator.welcomes = true;
  await coordinator.polls.first();
});

test("beats list what runs with its latest progress", async () => {
  const gate = new Gate();
  const slow = step("shop.slow", async (_input, ctx) => {
    ctx.heartbeat({ done: 1 });
    ctx.heartbeat({ done: 2 });
    await gate.pass();
  });
  const { coordinator } = await bench([slow], { slots: 2 });
  const sent = coordinator.request("shop.slow", {});
  const beat = await coordinator.beats.first((b) => b.held.length === 1);
  expect(beat.state).toBe(SessionState.ACTIVE);
  expect(beat.held[0]).toMatchObject({ taskId: "task-7", stepName: "the-step", attempt: 1 });
  expect(sameBytes(beat.held[0]?.token as Uint8Array, sent.token)).toBe(true);
  expect(Buffer.from(beat.held[0]?.progress ?? []).toString()).toBe('{"done":2}');
  expect(beat.credit).toMatchObject({ free: 1, highestSequence: 1n });
  gate.open();
  await coordinator.replyTo(sent);
  await coordinator.beats.first((b) => b.held.length === 0, coordinator.beats.all.length);
});

test("progress above the limit is left out and the step goes on", async () => {
  const loud = step("shop.loud", (_input, ctx) => {
    ctx.heartbeat("small");
    ctx.heartbeat("x".repeat(5_000));
    return "done";
  });
  const { coordinator, logs } = await bench([loud]);
  await coordinator.ask("shop.loud", {});
  await logs.first((line) => line.message === "progress left out: it is too large");
});

test("a rejoin says hello with the same session and everything held and sends kept replies again", async () => {
  const gate = new Gate();
  const slow = step("shop.slow", () => gate.pass());
  const { coordinator } = await bench([slow, echo], { before: (c) => void (c.acknowledges = false) });
  const running = coordinator.request("shop.slow", {});
  const finished = coordinator.request("shop.echo", { n: 1 });
  const reply = await coordinator.replyTo(finished);
  await gate.entered.first();

  const repliesBefore = coordinator.repliesTo(finished).length;
  const pollsBefore = coordinator.polls.all.length;
  const hellosBefore = coordinator.hellos.all.length;
  coordinator.send({ case: "rejoin", value: {} });
  const hello = await coordinator.hellos.first(() => true, hellosBefore);
  expect(hello.session).toBe(coordinator.hellos.all[0]?.session);
  expect(hello.held.map((held) => Buffer.from(held.token).toString("hex")).sort()).toEqual(
    [running.token, finished.token].map((token) => Buffer.from(token).toString("hex")).sort(),
  );
  const poll = await coordinator.polls.first(() => true, pollsBefore);
  // The coordinator counts from 1 again, so what it counted before is forgotten.
  expect(poll.credit).toMatchObject({ free: 7, highestSequence: 0n });
  await coordinator.replies.atLeast(repliesBefore + 1, (received) => sameBytes(received.reply.token, finished.token));
  expect(sameBytes((coordinator.repliesTo(finished).at(-1) as typeof reply).bytes, reply.bytes)).toBe(true);

  gate.open();
  await coordinator.replyTo(running);
  expect(gate.entered.all).toHaveLength(1);
});

test("between a rejoin and its welcome replies and beats go on and grant nothing", async () => {
  const { coordinator } = await bench([echo]);
  coordinator.welcomes = false;
  coordinator.send({ case: "rejoin", value: {} });
  await coordinator.hellos.atLeast(2);
  const received = await coordinator.ask("shop.echo", "still here");
  expect(successOf(received)).toBe("still here");
  expect(received.batch.credit?.free).toBe(0);
  expect((await coordinator.nextBeats()).credit?.free).toBe(0);
  const polls = coordinator.polls.all.length;
  coordinator.sendWelcome(coordinator.session);
  expect((await coordinator.polls.first(() => true, polls)).credit).toMatchObject({ free: 8, highestSequence: 0n });
});

test("a lost server is found again and the session joins without being asked", async () => {
  const port = await freePort();
  const first = await NatsServer.start(port);
  const gate = new Gate();
  const slow = step("shop.slow", () => gate.pass());
  const { coordinator, logs } = await bench([slow], { url: first.url });
  const running = coordinator.request("shop.slow", {});
  await gate.entered.first();
  await first.stop();
  await logs.first((line) => line.message.startsWith("disconnected from the bus"));
  gate.open();

  const hellosBefore = coordinator.hellos.all.length;
  const second = await NatsServer.start(port);
  const hello = await coordinator.hellos.first(() => true, hellosBefore);
  expect(hello.session).toBe(coordinator.hellos.all[0]?.session);
  expect(hello.held).toHaveLength(1);
  await coordinator.replyTo(running);
  await second.stop();
});

test("a worker started before its server waits for it", async () => {
  const port = await freePort();
  const logs = new Recorder<{ message: string }>("a log line");
  const worker = new Worker("shop", {
    steps: [echo],
    natsUrl: `nats://127.0.0.1:${port}`,
    namespace: "early",
    handleSignals: false,
    logSink: (line) => logs.push(JSON.parse(line) as { message: string }),
  });
  const ended = worker.run();
  await logs.first((line) => line.message.startsWith("no connection to the bus"));
  const server = await NatsServer.start(port);
  const coordinator = await TestCoordinator.start(server.url, "early");
  await coordinator.polls.first();
  worker.stop();
  await ended;
  await coordinator.close();
  await server.stop();
});

test("a password in the url is used and never logged", async () => {
  const server = await NatsServer.start(undefined, ["--user", "shop", "--pass", "s3cret/x"]);
  const url = `nats://shop:${encodeURIComponent("s3cret/x")}@127.0.0.1:${server.port}`;
  const logs = new Recorder<string>("a log line");
  const worker = new Worker("shop", { steps: [echo], natsUrl: url, handleSignals: false, logSink: (line) => logs.push(line) });
  const ended = worker.run();
  await logs.first((line) => line.includes("connected to the bus"));
  await logs.first((line) => line.includes("no coordinator listens"));
  worker.stop();
  await ended;
  expect(logs.all.join("\n")).not.toContain("s3cret");
  await server.stop();
});

test("a worker needs no rights but those the protocol names", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tasker-rights-"));
  const publish = ["hello", "poll", "beat", "reply.*"].map((tail) => `"tasker.v1.narrow.shop.${tail}"`).join(", ");
  writeFileSync(
    join(folder, "nats.conf"),
    `authorization { users = [
       { user: coordinator, password: c }
       { user: worker, password: w, permissions: { publish: { allow: [${publish}] }, subscribe: { allow: ["tasker.v1.narrow.shop.to.>"] } } }
     ] }`,
  );
  const server = await NatsServer.start(undefined, ["-c", join(folder, "nats.conf")]);
  const coordinator = await TestCoordinator.start(server.url, "narrow", "shop", { login: { user: "coordinator", pass: "c" } });
  const logs = new Recorder<Record<string, unknown>>("a log line");
  const worker = new Worker("shop", {
    steps: [echo],
    natsUrl: `nats://worker:w@127.0.0.1:${server.port}`,
    namespace: "narrow",
    handleSignals: false,
    logSink: (line) => logs.push(JSON.parse(line) as Record<string, unknown>),
  });
  const ended = worker.run();
  await coordinator.polls.first();
  expect(successOf(await coordinator.ask("shop.echo", "narrow"))).toBe("narrow");
  worker.stop();
  await ended;
  // A violation would have been reported by the server and logged.
  expect(logs.all.filter((line) => line.level === "error")).toEqual([]);
  await coordinator.close();
  await server.stop();
  rmSync(folder, { recursive: true });
});

test("settings that cannot work are refused by name", async () => {
  expect(() => new Worker("two words", { steps: [echo] })).toThrow(/the system's name is "two words".*\[setting.invalid\]/);
  expect(() => new Worker("shop", { steps: [] })).toThrow(/capability.missing/);
  expect(() => new Worker("shop", { steps: [echo, echo] })).toThrow(/shop.echo is given twice.*capability.duplicate/);
  expect(() => new Worker("shop", { steps: [echo], slots: 0 })).toThrow(/slots is "0".*1 to 10000/);
});
