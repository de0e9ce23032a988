/**
 * The attempts a session holds: waiting for a slot, running, or finished with a
 * reply nobody has acknowledged. From them follow the credit and the beats.
 */
import { create } from "@bufbuild/protobuf";
import { Attempt, type AttemptSurroundings } from "./attempt.js";
import { type Credit, CreditSchema, FailureKind, type HeldAttempt, HeldAttemptSchema, type StepRequest } from "./gen/tasker/worker/v1/worker_pb.js";
import { KEPT_REPLIES_MAX, KEPT_REPLY_BYTES_MAX, WAITING_MAX } from "./limits.js";
import { encodeReply, failed, type Outcome } from "./outcome.js";
import type { StepDefinition } from "./step.js";
import { after, type StopTimer } from "./timer.js";

/** A finished attempt and the reply that is sent until it is acknowledged. */
export interface KeptReply {
  readonly key: string;
  readonly shard: number;
  readonly bytes: Uint8Array;
  /** On the monotonic clock; the outbox keeps it. */
  resendAt: number;
  resendAfterMs: number;
}

interface Held {
  readonly key: string;
  readonly request: StepRequest;
  readonly attempt: Attempt | undefined;
  readonly stopTimer: StopTimer | undefined;
  /** How many slots it takes while it runs. */
  readonly cost: number;
  state: "waiting" | "running" | "finished";
  reply: KeptReply | undefined;
}

/** What came of a step request. */
export type Received = { kind: "new" } | { kind: "running" } | { kind: "finished"; reply: KeptReply } | { kind: "dropped" };

/** What the table tells its owner. */
export interface HeldListener {
  /** A reply is ready to be sent; the slot is free. */
  finished(reply: KeptReply): void;
}

/** The map's key of a token. Latin-1 keeps every byte and is the cheapest text Node can make of sixteen of them. */
export function tokenKey(token: Uint8Array): string {
  return Buffer.from(token.buffer, token.byteOffset, token.byteLength).toString("latin1");
}

export class HeldAttempts {
  readonly #steps: ReadonlyMap<string, StepDefinition>;
  readonly #slots: number;
  readonly #surroundings: AttemptSurroundings;
  readonly #listener: HeldListener;
  readonly #held = new Map<string, Held>();
  readonly #waiting = new Set<Held>();
  #running = 0;
  /** Slots that running attempts take, and that waiting ones will take. */
  #taken = 0;
  #wanted = 0;
  #keptBytes = 0;
  #highestSequence = 0n;
  #granting = false;
  #closedToNew = false;
  readonly #onChange = new Set<() => void>();

  constructor(
    steps: ReadonlyMap<string, StepDefinition>,
    slots: number,
    surroundings: AttemptSurroundings,
    listener: HeldListener,
  ) {
    this.#steps = steps;
    this.#slots = slots;
    this.#surroundings = surroundings;
    this.#listener = listener;
  }

  /** Attempts whose handlers run or wait to run. */
  get unfinished(): number {
    return this.#running + this.#waiting.size;
  }

  /** Finished attempts whose replies are not acknowledged. */
  get unacknowledged(): number {
    return this.#held.size - this.unfinished;
  }

  /** How much more this session can take, as the protocol counts it. */
  credit(): Credit {
    const full = this.unacknowledged >= KEPT_REPLIES_MAX || this.#keptBytes >= KEPT_REPLY_BYTES_MAX;
    const free = !this.#granting || this.#closedToNew || full ? 0 : Math.max(0, this.#slots - this.#taken - this.#wanted);
    return create(CreditSchema, { free, highestSequence: this.#highestSequence });
  }

  /** A coordinator counts its requests from 1 again after each welcome. */
  startGranting(): void {
    this.#highestSequence = 0n;
    this.#granting = true;
  }

  /**
   * From a hello to its welcome nothing is granted: the highest sequence still
   * counts what another coordinator sent, and would hide what the next one sends.
   */
  stopGranting(): void {
    this.#granting = false;
  }

  /** From now on the session takes nothing new. */
  closeToNew(): void {
    this.#closedToNew = true;
  }

  /** Takes a step request in, unless its token is held already. */
  receive(request: StepRequest): Received {
    if (request.sequence > this.#highestSequence) this.#highestSequence = request.sequence;
    const key = tokenKey(request.token);
    const known = this.#held.get(key);
    if (known !== undefined) {
      return known.reply === undefined ? { kind: "running" } : { kind: "finished", reply: known.reply };
    }
    // Not held means not in the next beat: the coordinator sees it as lost and gives it to somebody who takes it.
    if (this.#closedToNew || this.#waiting.size >= WAITING_MAX) return { kind: "dropped" };

    const definition = this.#steps.get(request.capability);
    if (definition === undefined) {
      this.#refuseUnknown(key, request);
      return { kind: "new" };
    }
    const attempt = new Attempt(request, definition, this.#surroundings);
    const timeoutMs = Number(request.timeoutMs);
    const stopTimer = timeoutMs > 0 ? after(timeoutMs, () => this.#stop(held, "timeout", "the attempt took too long")) : undefined;
    // Coordinators without costs say nothing, which means one; nothing takes more than there is.
    const cost = Math.min(Math.max(1, request.slotCost), this.#slots);
    const held: Held = { key, request, attempt, stopTimer, cost, state: "waiting", reply: undefined };
    this.#held.set(key, held);
    this.#waiting.add(held);
    this.#wanted += cost;
    this.#startWaiting();
    return { kind: "new" };
  }

  /** Tells one attempt to stop. A token that is not held, or has finished, is ignored. */
  cancel(token: Uint8Array, reason: string): void {
    const held = this.#held.get(tokenKey(token));
    if (held !== undefined) this.#stop(held, "cancelled", reason === "" ? "the attempt was cancelled" : reason);
  }

  /** Tells every unfinished attempt to stop because the worker leaves. */
  cancelAll(reason: string): void {
    for (const held of this.#held.values()) this.#stop(held, "leaving", reason);
  }

  /** Ends what did not stop when told to: replied as cancelled, whatever its handler still returns. */
  abandonAll(): void {
    for (const held of this.#held.values()) {
      if (held.state === "running" && held.attempt !== undefined) this.#finish(held, held.attempt.stoppedOutcome());
    }
  }

  /** Forgets a reply. False if no such reply is kept. */
  acknowledge(token: Uint8Array): boolean {
    const key = tokenKey(token);
    const held = this.#held.get(key);
    if (held?.reply === undefined) return false;
    this.#held.delete(key);
    this.#keptBytes -= held.reply.bytes.length;
    this.#changed();
    return true;
  }

  isKept(reply: KeptReply): boolean {
    return this.#held.get(reply.key)?.reply === reply;
  }

  /** Every kept reply, oldest attempt first. */
  *replies(): Iterable<KeptReply> {
    for (const held of this.#held.values()) {
      if (held.reply !== undefined) yield held.reply;
    }
  }

  /** Everything held, for a beat or a hello. */
  list(withProgress: boolean): HeldAttempt[] {
    const list: HeldAttempt[] = [];
    for (const { request, attempt } of this.#held.values()) {
      const { taskId, stepName, attempt: number, token } = request;
      const progress = withProgress ? attempt?.progress : undefined;
      list.push(create(HeldAttemptSchema, { taskId, stepName, attempt: number, token, progress }));
    }
    return list;
  }

  /** Resolves when the condition holds, or after this many milliseconds; says whether it holds. */
  async until(condition: () => boolean, ms: number): Promise<boolean> {
    if (condition() || ms <= 0) return condition();
    return new Promise((resolve) => {
      const stopTimer = after(ms, look);
      const onChange = (): void => {
        if (condition()) look();
      };
      const table = this.#onChange;
      table.add(onChange);
      function look(): void {
        stopTimer();
        table.delete(onChange);
        resolve(condition());
      }
    });
  }

  /** Starts those that wait and fit, in their order: one that does not fit holds up those behind it, or it would wait for ever. */
  #startWaiting(): void {
    for (const held of this.#waiting) {
      if (this.#taken + held.cost > this.#slots) return;
      this.#waiting.delete(held);
      this.#wanted -= held.cost;
      this.#running += 1;
      this.#taken += held.cost;
      held.state = "running";
      void this.#run(held, held.attempt as Attempt);
    }
  }

  async #run(held: Held, attempt: Attempt): Promise<void> {
    const outcome = await attempt.run();
    // An abandoned attempt has its reply already; nothing its handler says now may change it.
    if (held.state === "running") this.#finish(held, outcome);
  }

  #stop(held: Held, cause: "cancelled" | "timeout" | "leaving", why: string): void {
    const { attempt } = held;
    if (held.state === "finished" || attempt === undefined) return;
    attempt.stop(cause, why);
    if (held.state === "waiting") this.#finish(held, attempt.stoppedOutcome());
  }

  #finish(held: Held, outcome: Outcome): void {
    held.stopTimer?.();
    if (held.state === "running") {
      this.#running -= 1;
      this.#taken -= held.cost;
    }
    if (this.#waiting.delete(held)) this.#wanted -= held.cost;
    this.#keep(held, outcome);
    this.#startWaiting();
    this.#changed();
  }

  #refuseUnknown(key: string, request: StepRequest): void {
    const held: Held = { key, request, attempt: undefined, stopTimer: undefined, cost: 0, state: "finished", reply: undefined };
    this.#held.set(key, held);
    const known = [...this.#steps.keys()].join(", ");
    const message = `this worker has no handler for ${request.capability}; it has: ${known}`;
    this.#keep(held, failed(FailureKind.PERMANENT, "capability.unknown", message));
  }

  #keep(held: Held, outcome: Outcome): void {
    held.state = "finished";
    const bytes = encodeReply(held.request, outcome, held.attempt?.ranMs ?? 0);
    held.reply = { key: held.key, shard: held.request.shard, bytes, resendAt: 0, resendAfterMs: 0 };
    this.#keptBytes += bytes.length;
    this.#listener.finished(held.reply);
  }

  #changed(): void {
    for (const look of this.#onChange) look();
  }
}
