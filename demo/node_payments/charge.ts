/** `payment.charge`: takes the money for an order, once. */
import { setTimeout as sleep } from "node:timers/promises";

import { Permanent, Retryable, step } from "tasker-worker";
import { z } from "zod";

import { answerOf, paymentIdFor } from "./bank.js";

/** About what a call to a bank costs; without it nobody could watch the demo. */
const ROUND_TRIP_MS = 8;
/** How long a busy bank asks to be left alone. */
const BUSY_FOR_MS = 250;

/** Decimal text: a JSON number is a binary fraction to most readers, and money is not. */
const Amount = z.string().regex(/^[0-9]{1,24}(\.[0-9]{1,2})?$/);

const ChargeIn = z.strictObject({
  order_id: z.string(),
  customer_id: z.string(),
  amount: Amount,
  currency: z.string().regex(/^[A-Z]{3}$/),
  reservation_id: z.string(),
});
const Charged = z.strictObject({ payment_id: z.string(), amount: Amount, currency: z.string(), authorised_at: z.iso.datetime() });
const CardDeclined = z.strictObject({ reason: z.enum(["limit_exceeded", "card_expired"]) });

export const charge = step(
  "payment.charge",
  {
    description: "Charges the customer's card.",
    input: ChargeIn,
    output: Charged,
    errors: { card_declined: CardDeclined, gateway_busy: null },
    timeoutMs: 10_000,
  },
  async ({ order_id, customer_id, amount, currency }, ctx) => {
    await sleep(ROUND_TRIP_MS, undefined, { signal: ctx.signal });
    const answer = answerOf({ order_id, customer_id, amount }, ctx.attempt);
    if (answer === "busy") {
      ctx.log.warn("bank is busy", { order_id });
      throw new Retryable("the bank is busy", { code: "gateway_busy", afterMs: BUSY_FOR_MS });
    }
    if (answer !== "charged") {
      ctx.log.info("card declined", { order_id, reason: answer });
      throw new Permanent("card_declined", `the card of customer ${customer_id} was declined`, { details: { reason: answer } });
    }
    // The id comes from the key, so a second attempt finds the first one's payment instead of charging twice.
    const payment_id = paymentIdFor(ctx.idempotencyKey);
    ctx.log.info("card charged", { order_id, payment_id, amount, currency });
    return { payment_id, amount, currency, authorised_at: new Date().toISOString() };
  },
);
