/**
 * JSON lines on standard error. Every line has `timestamp`, `level` and
 * `message`; inside a handler also `task_id`, `step`, `attempt`, `trace_id` and
 * `span_id`, so that one search finds everything about one attempt.
 */

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Facts beside the constant message. They cannot replace the correlation fields. */
export type LogFields = Record<string, unknown>;

/** Takes one line without its newline. */
export type LogSink = (line: string) => void;

/** Standard error, so that a worker's own output stays its own. */
export const standardError: LogSink = (line) => {
  process.stderr.write(`${line}\n`);
};

/**
 * Writes lines at or above one level. Keep messages constant and lower-case and
 * put what varies into fields: `log.info("charging", { sku })`.
 */
export class Logger {
  readonly #threshold: number;
  readonly #sink: LogSink;
  readonly #fixed: LogFields;

  constructor(
    readonly level: LogLevel,
    sink: LogSink = standardError,
    fixed: LogFields = {},
  ) {
    this.#threshold = LOG_LEVELS.indexOf(level);
    this.#sink = sink;
    this.#fixed = fixed;
  }

  /** The same logger with more correlation fields. */
  with(fixed: LogFields): Logger {
    return new Logger(this.level, this.#sink, { ...this.#fixed, ...fixed });
  }

  debug(message: string, fields?: LogFields): void {
    this.#write("debug", message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#write("info", message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#write("warn", message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#write("error", message, fields);
  }

  #write(level: LogLevel, message: string, fields: LogFields | undefined): void {
    if (LOG_LEVELS.indexOf(level) < this.#threshold) return;
    const head = { timestamp: new Date().toISOString(), level, message };
    // The fixed fields come again after the caller's, because correlation must survive a name that collides.
    const line = { ...head, ...fields, ...head, ...this.#fixed };
    this.#sink(toLine(line, { ...head, ...this.#fixed }));
  }
}

/** A fact that JSON cannot hold (a cycle, a bigint) must not cost the message. */
function toLine(line: object, head: object): string {
  try {
    return JSON.stringify(line, plainly);
  } catch (error) {
    return JSON.stringify({ ...head, fields_dropped: String(error) });
  }
}

function plainly(_key: string, value: unknown): unknown {
  if (value instanceof Error) return { name: value.name, message: value.message, stack: value.stack };
  if (typeof value === "bigint") return value.toString();
  return value;
}
