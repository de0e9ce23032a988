/**
 * Every bound of this SDK, each with the reason for its value. Bounds that the
 * wire protocol sets say so; the others keep a worker's memory and its messages
 * finite whatever the other side does.
 */

/** Attempts a session may run at once: the protocol's upper bound for `Hello.slots`. */
export const SLOTS_MAX = 10_000;

/** Slots when neither the program nor the environment says otherwise (protocol, "Environment"). */
export const SLOTS_DEFAULT = 8;

/** Labels of a session, and the bytes of a name or a value: the protocol's bounds for `Hello.labels`. */
export const LABELS_MAX = 32;
export const LABEL_BYTES_MAX = 256;

/**
 * Step requests that wait for a slot. A coordinator never sends more than the
 * credit it was granted, but credit is forgotten when it restarts; what comes
 * above this is dropped unheld, so that the next beat shows it as lost.
 */
export const WAITING_MAX = 10_000;

/**
 * Finished attempts whose replies nobody has acknowledged. Above it the session
 * grants no credit, so a coordinator that stopped committing cannot fill this
 * process. At 8,000 steps a second it holds more than a second of them.
 */
export const KEPT_REPLIES_MAX = 10_000;

/** The same bound in bytes, for results of megabytes. */
export const KEPT_REPLY_BYTES_MAX = 256 * 1024 * 1024;

/** Replies in one `ReplyBatch` (protocol, "An attempt"). */
export const BATCH_REPLIES_MAX = 64;

/** Bytes in one `ReplyBatch` that holds more than one reply (protocol, "An attempt"). */
export const BATCH_BYTES_MAX = 256 * 1024;

/**
 * What a reply needs around its result: names, token, message and framing. The
 * result must leave this much of the server's largest message.
 */
export const REPLY_OVERHEAD_BYTES = 8 * 1024;

/** `Failure.message` (protocol, "An attempt"). */
export const MESSAGE_BYTES_MAX = 4 * 1024;

/** `HeldAttempt.progress` (protobuf contract). */
export const PROGRESS_BYTES_MAX = 4 * 1024;

/** Violations listed in the details of a contract failure (protocol, "An attempt"). */
export const VIOLATIONS_MAX = 20;

/** An error code (protocol, "An attempt"). */
export const CODE_BYTES_MAX = 64;

/** A capability name: four times a code, so that a prefix per team always fits. */
export const CAPABILITY_NAME_LENGTH_MAX = 256;

/** First wait for an answer to a hello; doubled up to the maximum (protocol, "A session"). */
export const HELLO_WAIT_MS = 1_000;
export const HELLO_WAIT_MAX_MS = 5_000;

/** The longest pause between two sendings of one reply (protocol, "An attempt"). */
export const RESEND_MAX_MS = 10_000;

/** Used while a `Welcome` leaves a period at zero: the values the coordinator documents as its defaults. */
export const HEARTBEAT_DEFAULT_MS = 5_000;
export const RESEND_DEFAULT_MS = 1_000;

/** The shortest period this SDK keeps: below it a wrong setting would be a busy loop. */
export const PERIOD_MIN_MS = 10;

/** The longest: above it a wrong setting would look like a dead worker. */
export const PERIOD_MAX_MS = 3_600_000;

/** How long a drain waits for handlers unless the user chose another time (protocol, "A session"). */
export const DRAIN_TIMEOUT_MS = 30_000;

/** After the drain timeout: how long cancelled handlers get to stop before their attempts are given up. */
export const CANCEL_GRACE_MS = 1_000;

/** After the last handler of a drain: how long the last acknowledgements are awaited past the drain timeout. */
export const ACKNOWLEDGE_GRACE_MS = 5_000;

/** How long the last spans may take to export when the worker leaves. */
export const TRACE_SHUTDOWN_MS = 3_000;

/** First pause before connecting again, doubled up to the maximum, half of it random. */
export const RECONNECT_WAIT_MS = 250;
export const RECONNECT_WAIT_MAX_MS = 5_000;

/** One attempt at a connection; a server that accepts and stays silent must not hold the worker. */
export const CONNECT_TIMEOUT_MS = 5_000;

/** A silent connection is declared dead after `PING_OUT_MAX` of these. */
export const PING_INTERVAL_MS = 10_000;
export const PING_OUT_MAX = 3;

/** The longest delay a Node timer can hold; longer ones fire at once, so they are chained. */
export const TIMER_MAX_MS = 2_147_483_647;
