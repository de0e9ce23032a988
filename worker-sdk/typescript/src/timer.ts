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
