import { step, Worker } from "tasker-worker";
import { z } from "zod";

const Order = z.object({ sku: z.string(), quantity: z.int().positive() });
const Reserved = z.object({ reserved: z.boolean() });

const reserve = step("inventory.reserve", { input: Order, output: Reserved }, async ({ sku, quantity }, ctx) => {
  ctx.log.info("reserving", { sku, quantity });
  return { reserved: true };
});
await new Worker("inventory", { steps: [reserve] }).run();
