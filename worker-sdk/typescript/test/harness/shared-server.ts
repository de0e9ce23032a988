/** One server for all test files; every test takes a namespace of its own on it. */
import type { TestProject } from "vitest/node";
import { NatsServer } from "./nats-server.js";

declare module "vitest" {
  interface ProvidedContext {
    natsUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await NatsServer.start();
  project.provide("natsUrl", server.url);
  return () => server.stop();
}
