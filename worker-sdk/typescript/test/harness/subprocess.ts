/** The compiled conformance worker as a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Recorder } from "./recorder.js";

const PROGRAM = fileURLToPath(new URL("../../dist/conformance-worker.js", import.meta.url));

export interface WorkerProcess {
  child: ChildProcess;
  logs: Recorder<Record<string, unknown>>;
  /** The exit code, or the name of the signal that ended it. */
  exited: Promise<number | string>;
}

export function startConformanceWorker(environment: Record<string, string>): WorkerProcess {
  const child = spawn(process.execPath, [PROGRAM], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ["ignore", "inherit", "pipe"],
  });
  const logs = new Recorder<Record<string, unknown>>("a log line of the worker process");
  let rest = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      // Node itself writes plain text there when a program ends with an error.
      logs.push(line.startsWith("{") ? (JSON.parse(line) as Record<string, unknown>) : { message: line });
    }
  });
  const exited = new Promise<number | string>((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  return { child, logs, exited };
}
