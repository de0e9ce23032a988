/** Timers for any length of time: Node's own fire at once when asked for more than 24 days. */
import { TIMER_MAX_MS } from "./limits.js";

/** Stops a timer that has not fired; afterwards, and when repeated, it does nothing. */
export type StopTimer = () => void;

/** Calls back once, after this many milliseconds. */
export function after(ms: number, callback: () => void): StopTimer {
  if (ms <= TIMER_MAX_MS) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  }
  let stop: StopTimer;
  const timer = setTimeout(() => {
    stop = after(ms - TIMER_MAX_MS, callback);
  }, TIMER_MAX_MS);
  stop = () => clearTimeout(timer);
  return () => stop();
}

/** A pause that doubles up to a maximum, half of it random so that a crowd of workers spreads out. */
export function backoffMs(tries: number, firstMs: number, maxMs: number, random: () => number = Math.random): number {
  const whole = Math.min(maxMs, firstMs * 2 ** Math.min(tries, 30));
  return whole / 2 + (whole / 2) * random();
}

/**
 * The pause between two attempts at a lost server. The client library asks for
 * it many times during one pause, so the answer depends on how long the outage
 * has lasted, not on how often it was asked; the random half is drawn once per
 * outage.
 */
export class ReconnectPace {
  #since: number | undefined;
  #share = 0;

  constructor(
    private readonly firstMs: number,
    private readonly maxMs: number,
    private readonly random: () => number = Math.random,
  ) {}

  waitMs(now: number = performance.now()): number {
    if (this.#since === undefined) {
      this.#since = now;
      this.#share = (1 + this.random()) / 2;
    }
    // Half of the outage so far at most doubles the time from one attempt to the next.
    const whole = Math.max(this.firstMs, (now - this.#since) / 2);
    return Math.min(this.maxMs, whole) * this.#share;
  }

  /** The outage is over. */
  reset(): void {
    this.#since = undefined;
  }
}

/** Gives up waiting, not the work: what is awaited goes on, unheard. */
export async function withTimeout<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
