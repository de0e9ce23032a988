/**
 * Replies on their way: what is ready now goes out together, what nobody
 * acknowledged goes out again.
 */
import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Bus } from "./bus.js";
import { type Credit, CreditSchema } from "./gen/tasker/worker/v1/worker_pb.js";
import type { HeldAttempts, KeptReply } from "./held.js";
import { BATCH_BYTES_MAX, BATCH_REPLIES_MAX, RESEND_MAX_MS } from "./limits.js";
import type { Subjects } from "./subjects.js";

/** Field numbers of `ReplyBatch`; a test decodes what is written here with the generated code. */
const SESSION_FIELD = 1;
const REPLIES_FIELD = 2;
const CREDIT_FIELD = 3;

/** A reply's tag and length, at most: one byte and five. */
const FRAME_BYTES_MAX = 6;

/** What every batch carries beside its replies: the session's name and the credit, generously. */
const BATCH_OVERHEAD_BYTES = 128;

/**
 * A `ReplyBatch` around replies that are encoded already. Composing the bytes
 * saves encoding each reply again at every resend.
 */
export function encodeBatch(session: string, replies: readonly KeptReply[], credit: Credit): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(SESSION_FIELD, WireType.LengthDelimited).string(session);
  for (const reply of replies) writer.tag(REPLIES_FIELD, WireType.LengthDelimited).bytes(reply.bytes);
  writer.tag(CREDIT_FIELD, WireType.LengthDelimited).bytes(toBinary(CreditSchema, credit));
  return writer.finish();
}

/** Splits replies into batches by shard, number and size; only a reply that is larger alone makes a larger batch. */
export function* packBatches(replies: readonly KeptReply[], bytesMax: number): Iterable<{ shard: number; replies: KeptReply[] }> {
  const open = new Map<number, { shard: number; replies: KeptReply[]; bytes: number }>();
  for (const reply of replies) {
    const bytes = reply.bytes.length + FRAME_BYTES_MAX;
    let batch = open.get(reply.shard);
    if (batch !== undefined && (batch.replies.length >= BATCH_REPLIES_MAX || batch.bytes + bytes > bytesMax)) {
      yield batch;
      batch = undefined;
    }
    if (batch === undefined) {
      batch = { shard: reply.shard, replies: [], bytes: BATCH_OVERHEAD_BYTES };
      open.set(reply.shard, batch);
    }
    batch.replies.push(reply);
    batch.bytes += bytes;
  }
  yield* open.values();
}

export class Outbox {
  readonly #session: string;
  readonly #subjects: Subjects;
  readonly #bus: Bus;
  readonly #held: HeldAttempts;
  readonly #poll: () => void;
  #ready: KeptReply[] = [];
  #creditDue = false;
  #flushDue = false;
  #open = false;
  #resendMs: number;
  #resendTimer: NodeJS.Timeout | undefined;
  #resendTimerAt = 0;

  constructor(session: string, subjects: Subjects, bus: Bus, held: HeldAttempts, resendMs: number, poll: () => void) {
    this.#session = session;
    this.#subjects = subjects;
    this.#bus = bus;
    this.#held = held;
    this.#resendMs = resendMs;
    this.#poll = poll;
  }

  /** After a welcome: everything unacknowledged is sent, and what finishes from now on too. */
  open(resendMs: number): void {
    this.#open = true;
    this.#resendMs = resendMs;
    this.#ready = [];
    for (const reply of this.#held.replies()) {
      reply.resendAfterMs = 0;
      this.#ready.push(reply);
    }
    this.#flush();
  }

  /** The session is over: nothing more is sent. */
  close(): void {
    this.#open = false;
    this.#ready = [];
    clearTimeout(this.#resendTimer);
    this.#resendTimer = undefined;
  }

  /** Sends a reply together with whatever else is ready in this turn of the event loop. */
  send(reply: KeptReply): void {
    if (!this.#open) return;
    this.#ready.push(reply);
    this.#flushSoon();
  }

  /** The credit changed without a reply to carry it: a poll follows unless a reply comes first. */
  creditChanged(): void {
    if (!this.#open) return;
    this.#creditDue = true;
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    setImmediate(() => {
      this.#flushDue = false;
      if (this.#open) this.#flush();
    });
  }

  #flush(): void {
    // A reply acknowledged since it was queued, or queued twice, needs no sending.
    const ready = [...new Set(this.#ready)].filter((reply) => this.#held.isKept(reply));
    this.#ready = [];
    if (ready.length > 0) {
      this.#publish(ready);
    } else if (this.#creditDue) {
      this.#poll();
    }
    this.#creditDue = false;
  }

  #publish(replies: readonly KeptReply[]): void {
    const now = performance.now();
    const bytesMax = Math.min(BATCH_BYTES_MAX, this.#bus.payloadBytesMax);
    const credit = this.#held.credit();
    for (const batch of packBatches(replies, bytesMax)) {
      this.#bus.publish(this.#subjects.reply(batch.shard), encodeBatch(this.#session, batch.replies, credit));
    }
    for (const reply of replies) {
      const doubled = Math.min(reply.resendAfterMs * 2, RESEND_MAX_MS);
      reply.resendAfterMs = Math.max(doubled, this.#resendMs);
      reply.resendAt = now + reply.resendAfterMs;
    }
    this.#wakeAt(now + this.#resendMs);
  }

  /** One timer for all replies: it wakes when the earliest may be due, and looks. */
  #wakeAt(at: number): void {
    if (this.#resendTimer !== undefined) {
      if (this.#resendTimerAt <= at) return;
      clearTimeout(this.#resendTimer);
    }
    this.#resendTimerAt = at;
    this.#resendTimer = setTimeout(
      () => {
        this.#resendTimer = undefined;
        this.#resendDue();
      },
      Math.max(1, Math.ceil(at - performance.now())),
    );
  }

  #resendDue(): void {
    const now = performance.now();
    const due: KeptReply[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const reply of this.#held.replies()) {
      // A reply that is still queued for its first sending has no time yet.
      if (reply.resendAfterMs === 0) continue;
      if (reply.resendAt <= now) {
        due.push(reply);
      } else {
        next = Math.min(next, reply.resendAt);
      }
    }
    if (due.length > 0) this.#publish(due);
    if (next !== Number.POSITIVE_INFINITY) this.#wakeAt(next);
  }
}
