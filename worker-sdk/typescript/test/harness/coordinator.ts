/**
 * A coordinator small enough to read: it speaks the protocol's subjects and
 * messages over a real server, records what workers send, and answers only what
 * a test tells it to.
 */
import { randomBytes } from "node:crypto";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { connect, type Msg, type NatsConnection } from "@nats-io/transport-node";
import {
  type Beat,
  BeatSchema,
  type DirectiveSchema,
  type Hello,
  HelloSchema,
  type Poll,
  PollSchema,
  type ReplyBatch,
  ReplyBatchSchema,
  ReplyDisposition,
  type StepReply,
  StepReplySchema,
  type StepRequestSchema,
  ToWorkerSchema,
  type WelcomeSchema,
} from "../../src/gen/tasker/worker/v1/worker_pb.js";
import { Recorder } from "./recorder.js";

type DirectiveInit = MessageInitShape<typeof DirectiveSchema>;
type RequestInit = MessageInitShape<typeof StepRequestSchema>;

export interface ReceivedReply {
  shard: string;
  reply: StepReply;
  /** The reply as it was encoded by the worker. */
  bytes: Uint8Array;
  batch: ReplyBatch;
}

export interface SentRequest {
  token: Uint8Array;
  sequence: bigint;
  request: RequestInit;
}

export const WELCOME = { heartbeatMs: 100n, leaseMs: 2_000n, payloadBytesMax: 64n * 1024n, replyResendMs: 150n, coordinator: "test" };

export class TestCoordinator {
  readonly hellos = new Recorder<Hello>("a hello");
  readonly helloReplySubjects: (string | undefined)[] = [];
  readonly polls = new Recorder<Poll>("a poll");
  readonly beats = new Recorder<Beat>("a beat");
  readonly batches = new Recorder<ReplyBatch>("a reply batch");
  readonly replies = new Recorder<ReceivedReply>("a reply");
  /** Answers each hello with a welcome. */
  welcomes = true;
  /** Acknowledges each reply as recorded. */
  acknowledges = true;
  sequence = 0n;
  welcome: MessageInitShape<typeof WelcomeSchema> = WELCOME;

  private constructor(
    readonly connection: NatsConnection,
    readonly base: string,
  ) {}

  static async start(url: string, namespace: string, system = "shop", options: { listen?: boolean; login?: { user: string; pass: string } } = {}): Promise<TestCoordinator> {
    const connection = await connect({ ...options.login, servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 20, reconnectJitter: 1 });
    const coordinator = new TestCoordinator(connection, `tasker.v1.${namespace}.${system}`);
    if (options.listen !== false) await coordinator.listen();
    return coordinator;
  }

  async listen(): Promise<void> {
    const on = (name: string, receive: (message: Msg) => void): void => {
      this.connection.subscribe(`${this.base}.${name}`, { callback: (_error, message) => receive(message) });
    };
    on("hello", (message) => {
      const hello = fromBinary(HelloSchema, message.data);
      this.helloReplySubjects.push(message.reply);
      if (this.welcomes) this.sendWelcome(hello.session);
      this.hellos.push(hello);
    });
    on("poll", (message) => this.polls.push(fromBinary(PollSchema, message.data)));
    on("beat", (message) => this.beats.push(fromBinary(BeatSchema, message.data)));
    on("reply.*", (message) => this.#receiveBatch(message));
    await this.connection.flush();
  }

  get session(): string {
    const last = this.hellos.all.at(-1);
    if (last === undefined) throw new Error("no worker has said hello yet");
    return last.session;
  }

  send(...directives: DirectiveInit["directive"][]): void {
    this.sendTo(this.session, ...directives);
  }

  sendTo(session: string, ...directives: DirectiveInit["directive"][]): void {
    const message = create(ToWorkerSchema, { session, directives: directives.map((directive) => ({ directive })) });
    this.connection.publish(`${this.base}.to.${session}`, toBinary(ToWorkerSchema, message));
  }

  sendWelcome(session: string): void {
    this.sequence = 0n;
    this.sendTo(session, { case: "welcome", value: this.welcome });
  }

  /** A step request with a fresh token, ready to be sent, and sent again. */
  prepare(capability: string, input: unknown, more: RequestInit = {}): SentRequest {
    const token = randomBytes(16);
    const request: RequestInit = {
      taskId: "task-7",
      stepName: "the-step",
      attempt: 1,
      token,
      capability,
      input: Buffer.from(JSON.stringify(input)),
      dependencies: Buffer.from("{}"),
      idempotencyKey: "key-7",
      shard: 3,
      workflowName: "order",
      workflowVersion: "2",
      ...more,
    };
    return { token, request, sequence: 0n };
  }

  dispatch(sent: SentRequest): SentRequest {
    this.sequence += 1n;
    sent.sequence = this.sequence;
    this.send({ case: "stepRequest", value: { ...sent.request, sequence: sent.sequence } });
    return sent;
  }

  request(capability: string, input: unknown, more: RequestInit = {}): SentRequest {
    return this.dispatch(this.prepare(capability, input, more));
  }

  /** Sends a request and waits for its reply. */
  async ask(capability: string, input: unknown, more: RequestInit = {}): Promise<ReceivedReply> {
    return this.replyTo(this.request(capability, input, more));
  }

  async replyTo(sent: SentRequest): Promise<ReceivedReply> {
    return this.replies.first((received) => sameBytes(received.reply.token, sent.token));
  }

  repliesTo(sent: SentRequest): ReceivedReply[] {
    return this.replies.all.filter((received) => sameBytes(received.reply.token, sent.token));
  }

  acknowledge(reply: StepReply, disposition = ReplyDisposition.RECORDED, code = ""): void {
    const { taskId, stepName, attempt, token } = reply;
    this.send({ case: "replyAcknowledged", value: { taskId, stepName, attempt, token, disposition, code } });
  }

  cancel(sent: SentRequest, reason = "the task was cancelled"): void {
    this.send({ case: "cancelAttempt", value: { token: sent.token, reason } });
  }

  /** Waits for beats that were sent after now, so that whatever came before has shown its effect. */
  async nextBeats(count = 1): Promise<Beat> {
    const seen = this.beats.all.length;
    return (await this.beats.atLeast(seen + count)).at(-1) as Beat;
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  #receiveBatch(message: Msg): void {
    const batch = fromBinary(ReplyBatchSchema, message.data);
    for (const reply of batch.replies) {
      if (this.acknowledges) this.acknowledge(reply);
      const shard = message.subject.split(".").at(-1) as string;
      this.replies.push({ shard, reply, bytes: toBinary(StepReplySchema, reply), batch });
    }
    this.batches.push(batch);
  }
}

export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

export function successOf(received: ReceivedReply): unknown {
  const { outcome } = received.reply;
  if (outcome.case !== "success") throw new Error(`expected a success, got ${JSON.stringify(outcome.value?.message)}`);
  return JSON.parse(Buffer.from(outcome.value.result).toString());
}

export function failureOf(received: ReceivedReply) {
  const { outcome } = received.reply;
  if (outcome.case !== "failure") throw new Error("expected a failure, got a success");
  const { kind, code, message, details, retryAfterMs } = outcome.value;
  return {
    kind,
    code,
    message,
    retryAfterMs,
    details: details.length === 0 ? undefined : (JSON.parse(Buffer.from(details).toString()) as unknown),
  };
}
