/**
 * One session with the coordinator: hello until welcomed, beats while it lasts,
 * directives as they come, and an orderly leave. The protocol's section "A
 * session" is the outline of this file.
 */
import { hostname } from "node:os";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { AttemptSurroundings } from "./attempt.js";
import type { Bus, BusMessage } from "./bus.js";
import { WorkerError } from "./errors.js";
import {
  BeatSchema,
  type Directive,
  HelloSchema,
  PollSchema,
  type Refused,
  type ReplyAcknowledged,
  ReplyDisposition,
  SessionState,
  type StepRequest,
  ToWorkerSchema,
  type Welcome,
} from "./gen/tasker/worker/v1/worker_pb.js";
import { HeldAttempts } from "./held.js";
import {
  ACKNOWLEDGE_GRACE_MS,
  CANCEL_GRACE_MS,
  HEARTBEAT_DEFAULT_MS,
  HELLO_WAIT_MAX_MS,
  HELLO_WAIT_MS,
  PERIOD_MAX_MS,
  PERIOD_MIN_MS,
  REPLY_OVERHEAD_BYTES,
  RESEND_DEFAULT_MS,
} from "./limits.js";
import type { Logger } from "./log.js";
import { describe } from "./outcome.js";
import { Outbox } from "./outbox.js";
import type { CheckedSettings } from "./settings.js";
import type { StepDefinition } from "./step.js";
import type { Subjects } from "./subjects.js";
import type { Tracing } from "./trace.js";
import { SDK_LANGUAGE, SDK_NAME, SDK_VERSION } from "./version.js";

/** What a session is made of. */
export interface SessionParts {
  readonly id: string;
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly settings: CheckedSettings;
  readonly steps: ReadonlyMap<string, StepDefinition>;
  readonly tracing: Tracing;
  readonly log: Logger;
}

/** What a session tells the worker. */
export interface SessionListener {
  /** The coordinator asks the worker to leave. */
  drainAsked(reason: string): void;
  /** The session cannot go on; saying hello again would not help. */
  failed(error: WorkerError): void;
}

export class Session {
  readonly #parts: SessionParts;
  readonly #listener: SessionListener;
  readonly #held: HeldAttempts;
  readonly #outbox: Outbox;
  #state = SessionState.ACTIVE;
  #joined = false;
  #helloTries = 0;
  #helloTimer: NodeJS.Timeout | undefined;
  #beatTimer: NodeJS.Timeout | undefined;
  #payloadBytesMax = Number.POSITIVE_INFINITY;

  constructor(parts: SessionParts, listener: SessionListener) {
    const { id, bus, subjects, settings, steps, tracing, log } = parts;
    this.#parts = parts;
    this.#listener = listener;
    const surroundings: AttemptSurroundings = { tracing, log, payloadBytesMax: () => this.#payloadLimit() };
    this.#held = new HeldAttempts(steps, settings.slots, surroundings, {
      finished: (reply) => this.#outbox.send(reply),
    });
    this.#outbox = new Outbox(id, subjects, bus, this.#held, RESEND_DEFAULT_MS, () => this.#poll());
  }

  /** Subscribes and says hello; from then on everything happens by message and by timer. */
  async start(): Promise<void> {
    const { bus, subjects, id } = this.#parts;
    await bus.subscribe(subjects.to(id), (message) => this.#receive(message));
    this.join();
  }

  /**
   * Says hello, at once and until welcomed, with everything held. Running
   * handlers do not notice; after a first welcome beats and replies go on,
   * because one of several coordinators may still know the session.
   */
  join(): void {
    if (this.#state === SessionState.LEFT) return;
    this.#joined = false;
    this.#held.stopGranting();
    this.#helloTries = 0;
    this.#hello();
  }

  /**
   * Leaves: nothing new, what is held is finished and acknowledged if time
   * allows, then the last beat. Never throws.
   */
  async leave(drainTimeoutMs: number, reason: string): Promise<void> {
    if (this.#state !== SessionState.ACTIVE) return;
    const { log } = this.#parts;
    log.info("draining", { reason, held: this.#held.unfinished, timeout_ms: drainTimeoutMs });
    this.#state = SessionState.DRAINING;
    this.#held.closeToNew();
    if (this.#beatTimer !== undefined) this.#beat();
    const startedAt = performance.now();
    const allFinished = (): boolean => this.#held.unfinished === 0;
    if (!(await this.#held.until(allFinished, drainTimeoutMs))) {
      log.warn("the drain timeout is over; cancelling what still runs", { attempts: this.#held.unfinished });
      this.#held.cancelAll("the worker is leaving");
      if (!(await this.#held.until(allFinished, CANCEL_GRACE_MS))) {
        log.error("handlers did not stop when cancelled; their attempts are given up", { attempts: this.#held.unfinished });
        this.#held.abandonAll();
      }
    }
    const left = Math.max(0, drainTimeoutMs - (performance.now() - startedAt)) + ACKNOWLEDGE_GRACE_MS;
    if (!(await this.#held.until(() => this.#held.unacknowledged === 0, left))) {
      log.error("leaving with replies that nobody acknowledged; other workers will repeat their attempts", {
        replies: this.#held.unacknowledged,
      });
    }
    await this.#sayGoodbye();
  }

  /** Stops at once: timers end and running handlers are told to stop. Nothing is sent. */
  abort(reason: string): void {
    this.#state = SessionState.LEFT;
    this.#stopTimers();
    this.#held.closeToNew();
    this.#held.cancelAll(reason);
  }

  async #sayGoodbye(): Promise<void> {
    this.#state = SessionState.LEFT;
    this.#stopTimers();
    this.#beat();
    await this.#parts.bus.flush();
    this.#parts.log.info("left");
  }

  #stopTimers(): void {
    clearTimeout(this.#helloTimer);
    clearInterval(this.#beatTimer);
    this.#outbox.close();
  }

  #hello(): void {
    const { id, bus, subjects, settings, steps } = this.#parts;
    const hello = create(HelloSchema, {
      session: id,
      systemVersion: settings.version,
      capabilities: [...steps.values()].map(announce),
      slots: settings.slots,
      sdk: { name: SDK_NAME, version: SDK_VERSION, language: SDK_LANGUAGE },
      host: hostname(),
      processId: process.pid,
      held: this.#held.list(false),
      labels: settings.labels,
      countsSlotCosts: true,
    });
    const body = toBinary(HelloSchema, hello);
    if (bus.connected && body.length > bus.payloadBytesMax) {
      this.#listener.failed(
        new WorkerError(
          "hello.too_large",
          `the announcement of ${steps.size} capabilities is ${body.length} bytes and the bus takes ${bus.payloadBytesMax}; ` +
            "make the schemas smaller, split the worker, or raise the server's max_payload",
        ),
      );
      return;
    }
    bus.publish(subjects.hello, body, subjects.to(id));
    const waitMs = Math.min(HELLO_WAIT_MS * 2 ** this.#helloTries, HELLO_WAIT_MAX_MS);
    this.#helloTries = Math.min(this.#helloTries + 1, 16);
    clearTimeout(this.#helloTimer);
    this.#helloTimer = setTimeout(() => this.#hello(), waitMs);
  }

  /** Nothing that arrives may throw into the client library's reader. */
  #receive(message: BusMessage): void {
    const { log } = this.#parts;
    try {
      if (message.status === 503) {
        log.warn("no coordinator listens on this bus; trying again", { subject: this.#parts.subjects.hello });
        return;
      }
      const toWorker = fromBinary(ToWorkerSchema, message.body);
      if (toWorker.session !== this.#parts.id) {
        log.warn("ignored a message that names another session");
        return;
      }
      for (const directive of toWorker.directives) this.#obey(directive);
    } catch (error) {
      log.error("ignored a message that cannot be read", { cause: describe(error) });
    }
  }

  #obey({ directive }: Directive): void {
    if (this.#state === SessionState.LEFT) return;
    switch (directive.case) {
      case "welcome":
        return this.#welcomed(directive.value);
      case "refused":
        return this.#refused(directive.value);
      case "rejoin":
        return this.#rejoin();
      case "stepRequest":
        return this.#requested(directive.value);
      case "replyAcknowledged":
        return this.#acknowledged(directive.value);
      case "cancelAttempt":
        return this.#held.cancel(directive.value.token, directive.value.reason);
      case "drain":
        return this.#listener.drainAsked(directive.value.reason || "the coordinator asked for it");
      case undefined:
        this.#parts.log.warn("ignored a directive that this version does not know");
    }
  }

  #welcomed(welcome: Welcome): void {
    const { log } = this.#parts;
    const heartbeatMs = period(welcome.heartbeatMs, HEARTBEAT_DEFAULT_MS);
    const resendMs = period(welcome.replyResendMs, RESEND_DEFAULT_MS);
    clearTimeout(this.#helloTimer);
    this.#joined = true;
    this.#payloadBytesMax = welcome.payloadBytesMax > 0n ? Number(welcome.payloadBytesMax) : Number.POSITIVE_INFINITY;
    this.#held.startGranting();
    log.info("welcomed", {
      coordinator: welcome.coordinator,
      session: this.#parts.id,
      heartbeat_ms: heartbeatMs,
      lease_ms: Number(welcome.leaseMs),
      held: this.#held.unfinished + this.#held.unacknowledged,
    });
    clearInterval(this.#beatTimer);
    this.#beatTimer = setInterval(() => this.#beat(), heartbeatMs);
    // A hello does not tell that the session is draining; the beat does, before anything is granted.
    if (this.#state === SessionState.DRAINING) this.#beat();
    this.#poll();
    this.#outbox.open(resendMs);
  }

  #refused(refused: Refused): void {
    const { log } = this.#parts;
    if (refused.retryable) {
      log.warn("the coordinator refused the session for now; trying again", { code: refused.code, cause: refused.message });
      return;
    }
    this.#listener.failed(
      new WorkerError("session.refused", `the coordinator refused this worker: ${refused.message} (${refused.code})`),
    );
  }

  #rejoin(): void {
    // A rejoin while hellos are already going out asks for nothing more.
    if (!this.#joined) return;
    this.#parts.log.info("the coordinator does not know this session; joining again");
    this.join();
  }

  #requested(request: StepRequest): void {
    const received = this.#held.receive(request);
    switch (received.kind) {
      case "new":
        return;
      case "finished":
        return this.#outbox.send(received.reply);
      case "running":
        // The repeat was counted against the credit although it takes no slot.
        return this.#outbox.creditChanged();
      case "dropped":
        this.#parts.log.warn("a step request came although no credit was left; it was not taken", {
          task_id: request.taskId,
          step: request.stepName,
          attempt: request.attempt,
        });
        this.#outbox.creditChanged();
    }
  }

  #acknowledged(acknowledged: ReplyAcknowledged): void {
    const creditBefore = this.#held.credit().free;
    if (!this.#held.acknowledge(acknowledged.token)) return;
    // Kept replies may have been what held the credit down.
    if (this.#held.credit().free > creditBefore) this.#outbox.creditChanged();

    const { log } = this.#parts;
    const fields = {
      task_id: acknowledged.taskId,
      step: acknowledged.stepName,
      attempt: acknowledged.attempt,
      code: acknowledged.code,
      cause: acknowledged.message,
    };
    switch (acknowledged.disposition) {
      case ReplyDisposition.RECORDED:
      case ReplyDisposition.REPEATED:
        return;
      case ReplyDisposition.STALE:
        return log.info("a reply came too late and changed nothing", fields);
      case ReplyDisposition.CONFLICTING:
        return log.error("another reply had been recorded for this attempt", fields);
      case ReplyDisposition.REFUSED:
        return log.error("the coordinator refused a reply", fields);
      case ReplyDisposition.UNSPECIFIED:
        return log.warn("a reply was acknowledged without a disposition", fields);
    }
  }

  #poll(): void {
    const { id, bus, subjects } = this.#parts;
    bus.publish(subjects.poll, toBinary(PollSchema, create(PollSchema, { session: id, credit: this.#held.credit() })));
  }

  #beat(): void {
    const { bus, subjects } = this.#parts;
    let body = this.#encodeBeat(true);
    // Progress is for people; that the attempts are held is for the coordinator.
    if (body.length > bus.payloadBytesMax) body = this.#encodeBeat(false);
    bus.publish(subjects.beat, body);
  }

  #encodeBeat(withProgress: boolean): Uint8Array {
    // The last beat says that nothing is held, which is what lets others take over at once.
    const held = this.#state === SessionState.LEFT ? [] : this.#held.list(withProgress);
    const beat = create(BeatSchema, { session: this.#parts.id, held, credit: this.#held.credit(), state: this.#state });
    return toBinary(BeatSchema, beat);
  }

  /** What may be sent is what the coordinator takes and what fits into one message of this server. */
  #payloadLimit(): number {
    return Math.min(this.#payloadBytesMax, this.#parts.bus.payloadBytesMax - REPLY_OVERHEAD_BYTES);
  }
}

function announce(step: StepDefinition) {
  return {
    name: step.name,
    inputSchema: step.input?.jsonSchema ?? "",
    resultSchema: step.output?.jsonSchema ?? "",
    errors: [...(step.errors ?? [])].map(([code, details]) => ({
      code,
      detailsSchema: details?.jsonSchema ?? "",
      description: details?.description ?? "",
    })),
    description: step.description,
    timeoutMs: BigInt(step.timeoutMs),
    slotCost: step.slotCost,
  };
}

/** A period from the wire: zero means the default, and none is short enough to be a busy loop or too long for a timer. */
function period(ms: bigint, otherwise: number): number {
  if (ms === 0n) return otherwise;
  return Math.min(Math.max(Number(ms), PERIOD_MIN_MS), PERIOD_MAX_MS);
}
