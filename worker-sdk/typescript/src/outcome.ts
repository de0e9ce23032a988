/**
 * What became of an attempt, as a value, and the rules that turn whatever a
 * handler returned or threw into one.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { FailureKind, StepReplySchema } from "./gen/tasker/worker/v1/worker_pb.js";
import { Cancelled, ContractError, HANDLER_CODE, Permanent, Retryable, StepError } from "./errors.js";
import { MESSAGE_BYTES_MAX } from "./limits.js";

/** A result, as JSON bytes. */
export interface Succeeded {
  readonly success: true;
  readonly result: Uint8Array;
}

/** A failure as it goes onto the wire. */
export interface Failed {
  readonly success: false;
  readonly kind: FailureKind;
  readonly code: string;
  readonly message: string;
  /** JSON; empty for none. */
  readonly details: Uint8Array;
  readonly retryAfterMs: number;
}

export type Outcome = Succeeded | Failed;

/** Which attempt a reply belongs to. */
export interface AttemptIdentity {
  taskId: string;
  stepName: string;
  attempt: number;
  token: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/** The failure that a thrown value stands for. */
export function failureOf(thrown: unknown, payloadBytesMax: number): Failed {
  if (!(thrown instanceof StepError)) {
    return failed(FailureKind.RETRYABLE, HANDLER_CODE, describe(thrown));
  }
  const details = encodeDetails(thrown.details, payloadBytesMax);
  const message = details.leftOut === undefined ? thrown.message : `${thrown.message} (${details.leftOut})`;
  return failed(kindOf(thrown), thrown.code, message, details.bytes, thrown instanceof Retryable ? thrown.afterMs : 0);
}

/** A failure from its parts; the message is cut to what the protocol carries. */
export function failed(
  kind: FailureKind,
  code: string,
  message: string,
  details: Uint8Array = NO_BYTES,
  retryAfterMs = 0,
): Failed {
  return { success: false, kind, code, message: cutMessage(message), details, retryAfterMs };
}

/** The error that a failure stands for: the inverse of `failureOf`, for the test kit. */
export function errorOf(failure: Failed): StepError {
  const details = failure.details.length === 0 ? undefined : (JSON.parse(Buffer.from(failure.details).toString()) as unknown);
  const options = { code: failure.code, details };
  switch (failure.kind) {
    case FailureKind.RETRYABLE:
      return new Retryable(failure.message, { ...options, afterMs: failure.retryAfterMs });
    case FailureKind.PERMANENT:
      return new Permanent(failure.code, failure.message, { details });
    case FailureKind.CONTRACT:
      return new ContractError(failure.message, { ...options, violations: violationsIn(details) });
    case FailureKind.CANCELLED:
      return new Cancelled(failure.message, options);
    case FailureKind.UNSPECIFIED:
      throw new Error("a failure without a kind is never made by this SDK");
  }
}

/**
 * Encodes a reply once. The same bytes are sent each time, so that a repeat is
 * identical and the coordinator can tell it from a second, different reply.
 */
export function encodeReply(attempt: AttemptIdentity, outcome: Outcome, ranMs: number): Uint8Array {
  const reply = create(StepReplySchema, {
    taskId: attempt.taskId,
    stepName: attempt.stepName,
    attempt: attempt.attempt,
    token: attempt.token,
    ranMs: BigInt(Math.max(0, Math.round(ranMs))),
    outcome: outcome.success
      ? { case: "success", value: { result: outcome.result } }
      : {
          case: "failure",
          value: {
            kind: outcome.kind,
            code: outcome.code,
            message: outcome.message,
            details: outcome.details,
            retryAfterMs: BigInt(outcome.retryAfterMs),
          },
        },
  });
  return toBinary(StepReplySchema, reply);
}

/** At most 4 KiB of UTF-8, cut between characters; half characters become the replacement character. */
export function cutMessage(message: string): string {
  const bytes = Buffer.from(message, "utf8");
  let end = Math.min(bytes.length, MESSAGE_BYTES_MAX);
  if (end < bytes.length) {
    // A byte 10xxxxxx continues a character: step back to where it began.
    while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  }
  return bytes.toString("utf8", 0, end);
}

function kindOf(error: StepError): FailureKind {
  switch (error.kind) {
    case "retryable":
      return FailureKind.RETRYABLE;
    case "permanent":
      return FailureKind.PERMANENT;
    case "contract":
      return FailureKind.CONTRACT;
    case "cancelled":
      return FailureKind.CANCELLED;
  }
}

/** Details that cannot travel are left out and named: the kind and the code matter more. */
function encodeDetails(details: unknown, bytesMax: number): { bytes: Uint8Array; leftOut?: string } {
  if (details === undefined) return { bytes: NO_BYTES };
  let text: string | undefined;
  try {
    text = JSON.stringify(details);
  } catch (error) {
    return { bytes: NO_BYTES, leftOut: `details left out: ${describe(error)}` };
  }
  if (text === undefined) return { bytes: NO_BYTES, leftOut: "details left out: not JSON" };
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= bytesMax) return { bytes };
  return { bytes: NO_BYTES, leftOut: `details left out: ${bytes.length} bytes, the limit is ${bytesMax}` };
}

/** The text of anything thrown, without its stack: a stack is for logs, not for other systems. */
export function describe(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === "" ? thrown.name : thrown.message;
  try {
    return String(thrown);
  } catch {
    return "a value that cannot be shown was thrown";
  }
}

function violationsIn(details: unknown): { pointer: string; message: string }[] {
  const found = (details as { violations?: unknown } | null | undefined)?.violations;
  return Array.isArray(found) ? (found as { pointer: string; message: string }[]) : [];
}
