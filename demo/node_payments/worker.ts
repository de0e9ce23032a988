/** `node_payments`, the system that owns money: charges cards. */
import { Worker } from "tasker-worker";

import { charge } from "./charge.js";

await new Worker("node_payments", { steps: [charge], version: "1.0.0" }).run();
