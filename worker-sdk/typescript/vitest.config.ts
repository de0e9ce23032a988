import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/harness/shared-server.ts"],
    // Every wait in the tests is bounded below this, with a message of its own.
    testTimeout: 20_000,
    // Two workers at a time: the machine that runs this also runs a server and subprocesses.
    maxWorkers: 2,
  },
});
