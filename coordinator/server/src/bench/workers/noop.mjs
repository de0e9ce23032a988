// The TypeScript SDK's worker of `tasker bench`: does nothing, but notes how long after its predecessors' results it was started.
import { writeFileSync } from "node:fs";
import process from "node:process";

const { step, Worker } = await import(process.env.TASKER_BENCH_SDK);

const pad = "x".repeat(Number(process.env.TASKER_BENCH_PAYLOAD));
let firstStartUs = 0;
const waitedUs = [];

const nowUs = () => Math.floor(Number(process.hrtime.bigint()) / 1000);

const noop = step("bench.noop", (_input, ctx) => {
  const started = nowUs();
  firstStartUs ||= started;
  let known = 0;
  for (const result of Object.values(ctx.dependencies)) known = Math.max(known, result?.ended_at_us ?? 0);
  if (known > 0) waitedUs.push(Math.max(0, started - known));
  return { ended_at_us: nowUs(), pad };
});

await new Worker("bench", { steps: [noop] }).run();
writeFileSync(process.env.TASKER_BENCH_SAMPLES, [firstStartUs, ...waitedUs].map((sample) => `${sample}\n`).join(""));
