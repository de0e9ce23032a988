import { call, observe } from "tasker-worker/testing";
import { expect, test } from "vitest";

import { answerOf, hundredths } from "./bank.js";
import { charge } from "./charge.js";

const payment = { order_id: "1", customer_id: "1", amount: "139.12", currency: "GBP", reservation_id: "res_1" };

/** The first customer or order number that the bank answers so at its first attempt. */
function first(answer: string, change: (number: string) => typeof payment): typeof payment {
  for (let number = 1; number < 10_000; number += 1) {
    const candidate = change(String(number));
    if (answerOf(candidate, 1) === answer) return candidate;
  }
  throw new Error(`the bank never answers ${answer}`);
}

const good = first("charged", (order_id) => ({ ...payment, order_id }));

test("a second attempt finds the first one's payment", async () => {
  const one = await call(charge, good, { idempotencyKey: "key" });
  const two = await call(charge, good, { idempotencyKey: "key", attempt: 2 });
  expect(one).toMatchObject({ amount: "139.12", currency: "GBP" });
  expect(two.payment_id).toBe(one.payment_id);
  expect((await call(charge, good, { idempotencyKey: "other" })).payment_id).not.toBe(one.payment_id);
});

test("a busy bank says when to come back, and is not busy for ever", async () => {
  const busy = first("busy", (order_id) => ({ ...payment, order_id }));
  const { error } = await observe(charge, busy);
  expect(error).toMatchObject({ kind: "retryable", code: "gateway_busy", afterMs: 250 });
  expect(await call(charge, busy, { attempt: 3 })).toMatchObject({ amount: "139.12" });
});

test("a declined card is a typed refusal with its reason", async () => {
  const expired = first("card_expired", (customer_id) => ({ ...good, customer_id }));
  await expect(call(charge, expired)).rejects.toMatchObject({ code: "card_declined", details: { reason: "card_expired" } });
  await expect(call(charge, { ...good, amount: "3500.01" })).rejects.toMatchObject({ details: { reason: "limit_exceeded" } });
  await expect(call(charge, { ...good, amount: "3500.00" })).resolves.toMatchObject({ amount: "3500.00" });
});

test("amounts are counted exactly", () => {
  expect([hundredths("2.55"), hundredths("2.1"), hundredths("7"), hundredths("0.0")]).toEqual([255n, 210n, 700n, 0n]);
  expect(hundredths("90071992547409.93")).toBe(9007199254740993n);
});

test("an amount that is a number breaks the contract", async () => {
  const wrong = { ...good, amount: 139.12 } as unknown as typeof good;
  await expect(call(charge, wrong)).rejects.toMatchObject({ code: "input.invalid" });
});
