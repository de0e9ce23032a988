/** The small parts, each by itself. */
import { readFileSync } from "node:fs";
import { create, fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { z } from "zod";
import { readUrl } from "../src/bus.js";
import { Contract } from "../src/contract.js";
import { CreditSchema, FailureKind, ReplyBatchSchema } from "../src/gen/tasker/worker/v1/worker_pb.js";
import { BATCH_BYTES_MAX } from "../src/limits.js";
import { Logger } from "../src/log.js";
import { encodeBatch, packBatches } from "../src/outbox.js";
import { encodeReply, failed, type Outcome } from "../src/outcome.js";
import { checkSettings } from "../src/settings.js";
import { backoffMs, ReconnectPace } from "../src/timer.js";
import { SDK_VERSION } from "../src/version.js";

function kept(key: string, outcome: Outcome, shard = 0) {
  const bytes = encodeReply({ taskId: key, stepName: "s", attempt: 1, token: Buffer.from(key) }, outcome, 12.4);
  return { key, shard, bytes, resendAt: 0, resendAfterMs: 0 };
}

test("a batch composed by hand is read by the generated code", () => {
  const replies = [
    kept("a", { success: true, result: Buffer.from("{}") }),
    kept("b", failed(FailureKind.RETRYABLE, "x.y", "why", Buffer.from("1"), 5)),
  ];
  const bytes = encodeBatch("the-session", replies, create(CreditSchema, { free: 3, highestSequence: 9n }));
  const batch = fromBinary(ReplyBatchSchema, bytes);
  expect(batch).toMatchObject({ session: "the-session", credit: { free: 3, highestSequence: 9n } });
  expect(batch.replies.map((reply) => reply.taskId)).toEqual(["a", "b"]);
  expect(batch.replies[0]).toMatchObject({ ranMs: 12n, outcome: { case: "success" } });
  expect(batch.replies[1]?.outcome.value).toMatchObject({ code: "x.y", message: "why", retryAfterMs: 5n });
  expect(batch.$unknown).toBeUndefined();
});

test("batches stay within their size, and a reply larger than that travels alone", () => {
  const sizes = [100_000, 100_000, 100_000, 300_000, 10];
  const replies = sizes.map((size, n) => kept(String(n), { success: true, result: Buffer.alloc(size, "1") }));
  const batches = [...packBatches(replies, BATCH_BYTES_MAX)].map((batch) => batch.replies.map((reply) => reply.key));
  expect(batches).toEqual([["0", "1"], ["2"], ["3"], ["4"]]);
  for (const batch of packBatches(replies.slice(0, 3), BATCH_BYTES_MAX)) {
    const bytes = encodeBatch("s".repeat(64), batch.replies, create(CreditSchema, { free: 10_000, highestSequence: 2n ** 63n }));
    expect(bytes.length).toBeLessThanOrEqual(BATCH_BYTES_MAX);
  }
});

test("pointers escape what RFC 6901 reserves and count list elements from zero", async () => {
  const contract = new Contract(z.object({ "a/b": z.array(z.object({ "c~d": z.string() })) }), "input", "here");
  const checked = await contract.check({ "a/b": [{ "c~d": "fits" }, { "c~d": 1 }] });
  expect(checked).toMatchObject({ fits: false, violations: [{ pointer: "/a~1b/1/c~0d" }] });
});

test.each([
  ["nats://127.0.0.1:7422", { servers: ["127.0.0.1:7422"], credentials: {}, tls: false }],
  ["localhost", { servers: ["localhost"], credentials: {}, tls: false }],
  ["tls://a:1/,nats://b:2", { servers: ["a:1", "b:2"], credentials: {}, tls: true }],
  ["nats://user:p%40ss@h:1", { servers: ["h:1"], credentials: { user: "user", pass: "p@ss" }, tls: false }],
  ["nats://t0ken@h:1", { servers: ["h:1"], credentials: { token: "t0ken" }, tls: false }],
])("url %j is read", (url, read) => {
  expect(readUrl(url)).toEqual(read);
});

test("a password that is not percent-encoded is refused without being shown", () => {
  expect(() => readUrl("nats://user:100%25@h:1")).not.toThrow();
  expect(() => readUrl("nats://user:s3cret%@h:1")).toThrow(/^(?!.*s3cret).*TASKER_NATS_URL.*setting.invalid/);
});

test("settings come from the program, then the environment, then the defaults", () => {
  const environment = { TASKER_SLOTS: "4", TASKER_NAMESPACE: "north", TASKER_LOG_LEVEL: "warn" };
  expect(checkSettings({ namespace: "south" }, environment)).toEqual({
    slots: 4,
    version: "0.0.0",
    natsUrl: "nats://127.0.0.1:7422",
    namespace: "south",
    subjectPrefix: "tasker",
    drainTimeoutMs: 30_000,
    labels: {},
    logLevel: "warn",
  });
  expect(() => checkSettings({}, { TASKER_NAMESPACE: "a.b" })).toThrow(/TASKER_NAMESPACE is "a.b"/);
  expect(() => checkSettings({}, { TASKER_LOG_LEVEL: "loud" })).toThrow(/TASKER_LOG_LEVEL is "loud".*debug, info, warn, error/);
});

test("labels come from the environment and the program wins, name by name", () => {
  const environment = { TASKER_LABELS: "region=eu, gpu = none,,note=a=b" };
  expect(checkSettings({ labels: { gpu: "two" } }, environment).labels).toEqual({ region: "eu", gpu: "two", note: "a=b" });
});

test("labels that the coordinator would refuse are refused here, by name", () => {
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, place) => [`label${place}`, ""]));
  expect(() => checkSettings({ labels: many(32) }, {})).not.toThrow();
  expect(() => checkSettings({ labels: many(33) }, {})).toThrow(/labels.*at most 32/);
  expect(() => checkSettings({ labels: { region: "ü".repeat(129) } }, {})).toThrow(/labels.*256/);
  expect(() => checkSettings({ labels: { "": "eu" } }, {})).toThrow(/labels/);
  expect(() => checkSettings({}, { TASKER_LABELS: "region" })).toThrow(/TASKER_LABELS is "region"/);
});

test("pauses double up to their maximum and half of each is random", () => {
  expect([0, 1, 2, 10, 1_000].map((tries) => backoffMs(tries, 250, 5_000, () => 1))).toEqual([250, 500, 1_000, 5_000, 5_000]);
  expect(backoffMs(2, 250, 5_000, () => 0)).toBe(500);
});

test("the pace of reconnecting follows the outage, however often it is asked", () => {
  const pace = new ReconnectPace(250, 5_000, () => 1);
  expect([100, 100, 150, 4_100, 60_000].map((now) => pace.waitMs(now))).toEqual([250, 250, 250, 2_000, 5_000]);
  pace.reset();
  expect(pace.waitMs(90_000)).toBe(250);
});

test("log lines survive facts that JSON cannot hold, and levels below the threshold are dropped", () => {
  const lines: Record<string, unknown>[] = [];
  const log = new Logger("info", (line) => lines.push(JSON.parse(line) as Record<string, unknown>)).with({ system: "shop" });
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  log.debug("unheard");
  log.info("a cycle", { cycle });
  log.error("an error", { cause: new Error("why"), big: 1n });
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatchObject({ message: "a cycle", system: "shop", fields_dropped: expect.stringContaining("circular") });
  expect(lines[1]).toMatchObject({ message: "an error", system: "shop", cause: { name: "Error", message: "why" }, big: "1" });
});

test("the announced version is the package's", () => {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  expect(SDK_VERSION).toBe(manifest.version);
});
