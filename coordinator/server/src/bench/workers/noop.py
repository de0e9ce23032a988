"""The Python worker of `tasker bench`: does nothing, but notes how long after its predecessors' results it was started."""

import os
import time

from tasker_worker import Context, Worker, step

PAD = "x" * int(os.environ["TASKER_BENCH_PAYLOAD"])
first_start_us = 0
waited_us: list[int] = []


@step("bench.noop")
async def noop(ctx: Context):
    global first_start_us
    started = time.monotonic_ns() // 1000
    first_start_us = first_start_us or started
    known = [
        result["ended_at_us"] for result in ctx.dependencies.values() if isinstance(result, dict) and "ended_at_us" in result
    ]
    if known:
        waited_us.append(max(0, started - max(known)))
    return {"ended_at_us": time.monotonic_ns() // 1000, "pad": PAD}


if __name__ == "__main__":
    Worker("bench", [noop]).run()
    with open(os.environ["TASKER_BENCH_SAMPLES"], "w") as file:
        file.write("".join(f"{sample}\n" for sample in [first_start_us, *waited_us]))
