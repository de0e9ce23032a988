/**
 * The bank at the other end: no network, but it says no like one. What it says
 * depends only on who pays, how much, and how often it was asked, so every run
 * of the demo meets the same refusals.
 */
import { createHash } from "node:crypto";

/** The most one card pays at once, in hundredths. */
const LIMIT = 350_000n;
/** Of a hundred customers, how many have an expired card. */
const EXPIRED_PERCENT = 4;
/** Of a hundred orders, how many find the bank busy at first, and how many of those twice. */
const BUSY_PERCENT = 10;
const BUSY_TWICE_PERCENT = 3;

export type Answer = "charged" | "busy" | "limit_exceeded" | "card_expired";

export interface Payment {
  order_id: string;
  customer_id: string;
  /** Decimal text with at most two digits after the point. */
  amount: string;
}

export function answerOf({ order_id, customer_id, amount }: Payment, attempt: number): Answer {
  const luck = percentOf(`busy ${order_id}`);
  if (luck < (attempt === 1 ? BUSY_PERCENT : attempt === 2 ? BUSY_TWICE_PERCENT : 0)) return "busy";
  if (percentOf(`expired ${customer_id}`) < EXPIRED_PERCENT) return "card_expired";
  return hundredths(amount) > LIMIT ? "limit_exceeded" : "charged";
}

/** The same key, the same payment. */
export function paymentIdFor(key: string): string {
  return `pay_${createHash("sha256").update(key).digest("hex").slice(0, 12)}`;
}

/** Exact: `"2.1"` is 210n. */
export function hundredths(amount: string): bigint {
  const [whole = "0", fraction = ""] = amount.split(".");
  return BigInt(whole) * 100n + BigInt(fraction.padEnd(2, "0"));
}

function percentOf(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32BE(0) % 100;
}
