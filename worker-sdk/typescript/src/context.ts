/**
 * What a handler knows about the attempt it runs, and what it can say while it runs.
 */
import type { Logger } from "./log.js";
import type { TraceIdentity } from "./trace.js";

/** The second argument of every handler. */
export interface StepContext {
  /** The task: one run of a workflow. */
  readonly taskId: string;
  /** The step's name inside the workflow; not the capability's. */
  readonly step: string;
  /** Counts from 1. */
  readonly attempt: number;
  /** How many attempts there may be in all; 0 means no limit. */
  readonly attemptsMax: number;
  /** The workflow's name. */
  readonly workflow: string;
  readonly workflowVersion: string;
  /** The same for every attempt of this step in this task: hand it to whoever must not act twice. */
  readonly idempotencyKey: string;
  /** The result of each step this one directly depends on, by step name. */
  readonly dependencies: Readonly<Record<string, unknown>>;
  /** When the attempt is cancelled for taking too long; undefined if it may run for ever. */
  readonly deadline: Date | undefined;
  /**
   * Aborts when the attempt is cancelled, runs into its deadline, or the worker
   * leaves. Pass it to `fetch` and to timers; its reason is a `Cancelled`.
   */
  readonly signal: AbortSignal;
  /** Whether the signal has been given, for loops that only want to look. */
  readonly cancelled: boolean;
  /** A logger whose lines carry the task, step, attempt and trace. */
  readonly log: Logger;
  /** Where this attempt stands in its trace. */
  readonly trace: TraceIdentity;
  /**
   * Shows progress to people: any JSON of at most 4 KiB, sent with the next
   * beat; only the latest counts. What is larger or is not JSON is left out
   * with a warning, because a step must not fail over its progress bar. Beats
   * themselves need no call: they go out on their own.
   */
  heartbeat(progress: unknown): void;
}
