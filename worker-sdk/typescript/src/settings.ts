/**
 * Where a worker's settings come from: what the program says wins over the
 * environment, the environment over the defaults. Everything is checked here,
 * once, and a wrong value is refused by name.
 */
import { WorkerError } from "./errors.js";
import { DRAIN_TIMEOUT_MS, LABEL_BYTES_MAX, LABELS_MAX, SLOTS_DEFAULT, SLOTS_MAX } from "./limits.js";
import { LOG_LEVELS, type LogLevel } from "./log.js";

/** What a program may set. Everything left out comes from the environment or its default. */
export interface WorkerSettings {
  /** Attempts at once, 1 to 10,000. `TASKER_SLOTS`, default 8. */
  slots?: number;
  /** The build of this system, shown to people and used for routing. Default `0.0.0`. */
  version?: string;
  /** One or more servers, comma-separated, with user or token if any. `TASKER_NATS_URL`, default `nats://127.0.0.1:7422`. */
  natsUrl?: string;
  /** `TASKER_NAMESPACE`, default `default`. */
  namespace?: string;
  /** `TASKER_SUBJECT_PREFIX`, default `tasker`. */
  subjectPrefix?: string;
  /** How long running handlers may finish when the worker leaves, in milliseconds. Default 30,000. */
  drainTimeoutMs?: number;
  /**
   * Where or on what this worker runs, such as `{ region: "eu" }`: steps may be routed by it. At most 32, names of 1 to 256 bytes, values of
   * up to 256. `TASKER_LABELS` (`region=eu,gpu=none`) adds those that are not given here.
   */
  labels?: Readonly<Record<string, string>>;
  /** `TASKER_LOG_LEVEL`, default `info`. */
  logLevel?: LogLevel;
}

/** The same, complete and checked. */
export type CheckedSettings = Required<WorkerSettings>;

/** `N`, `S` and `W` of the protocol: one token of a subject. */
const TOKEN = /^[A-Za-z0-9_-]{1,64}$/;
/** A prefix may have several tokens. */
const PREFIX = /^[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,7}$/;

/**
 * @throws WorkerError `setting.invalid`, naming the setting, where it came from and what is allowed.
 */
export function checkSettings(given: WorkerSettings, environment: NodeJS.ProcessEnv): CheckedSettings {
  const text = (name: "natsUrl" | "namespace" | "subjectPrefix", variable: string, otherwise: string): [string, string] =>
    given[name] !== undefined ? [given[name], name] : [environment[variable] || otherwise, variable];

  const [natsUrl] = text("natsUrl", "TASKER_NATS_URL", "nats://127.0.0.1:7422");
  const [namespace, namespaceFrom] = text("namespace", "TASKER_NAMESPACE", "default");
  const [subjectPrefix, prefixFrom] = text("subjectPrefix", "TASKER_SUBJECT_PREFIX", "tasker");
  requireMatch(TOKEN, namespace, namespaceFrom, "1 to 64 of letters, digits, _ and -");
  requireMatch(PREFIX, subjectPrefix, prefixFrom, "words of letters, digits, _ and -, joined by dots");

  const slots = given.slots ?? Number(environment.TASKER_SLOTS || SLOTS_DEFAULT);
  if (!Number.isInteger(slots) || slots < 1 || slots > SLOTS_MAX) {
    const from = given.slots === undefined ? "TASKER_SLOTS" : "slots";
    throw invalid(from, String(given.slots ?? environment.TASKER_SLOTS), `a whole number from 1 to ${SLOTS_MAX}`);
  }
  const drainTimeoutMs = given.drainTimeoutMs ?? DRAIN_TIMEOUT_MS;
  if (!Number.isFinite(drainTimeoutMs) || drainTimeoutMs < 0) {
    throw invalid("drainTimeoutMs", String(drainTimeoutMs), "milliseconds, 0 or more");
  }
  const logLevel = given.logLevel ?? environment.TASKER_LOG_LEVEL ?? "info";
  if (!isLogLevel(logLevel)) {
    throw invalid(given.logLevel === undefined ? "TASKER_LOG_LEVEL" : "logLevel", logLevel, LOG_LEVELS.join(", "));
  }
  const labels = checkLabels(given.labels ?? {}, environment.TASKER_LABELS ?? "");
  return { slots, version: given.version ?? "0.0.0", natsUrl, namespace, subjectPrefix, drainTimeoutMs, labels, logLevel };
}

/** The labels of the environment, and over them those of the program. */
function checkLabels(given: Readonly<Record<string, string>>, text: string): Record<string, string> {
  const labels = new Map<string, string>();
  for (const pair of text.split(",").map((part) => part.trim())) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    if (equals < 0) throw invalid("TASKER_LABELS", pair, "name=value, several joined by commas");
    labels.set(pair.slice(0, equals).trim(), pair.slice(equals + 1).trim());
  }
  for (const [name, value] of Object.entries(given)) labels.set(name, value);
  if (labels.size > LABELS_MAX) throw invalid("labels", `${labels.size} labels`, `at most ${LABELS_MAX}`);
  for (const [name, value] of labels) {
    const tooLong = [name, value].some((part) => typeof part !== "string" || Buffer.byteLength(part) > LABEL_BYTES_MAX);
    if (name === "" || tooLong) {
      throw invalid("labels", `${name}=${value}`, `names of 1 to ${LABEL_BYTES_MAX} bytes and values of up to ${LABEL_BYTES_MAX}`);
    }
  }
  return Object.fromEntries(labels);
}

/** @throws WorkerError `setting.invalid` unless the name can be part of a subject. */
export function checkSystem(system: string): void {
  requireMatch(TOKEN, system, "the system's name", "1 to 64 of letters, digits, _ and -");
}

function requireMatch(pattern: RegExp, value: string, from: string, allowed: string): void {
  if (!pattern.test(value)) throw invalid(from, value, allowed);
}

function invalid(from: string, value: string, allowed: string): WorkerError {
  return new WorkerError("setting.invalid", `${from} is ${JSON.stringify(value)}; it must be: ${allowed}`);
}

function isLogLevel(level: string): level is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(level);
}
