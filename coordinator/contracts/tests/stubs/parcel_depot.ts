// Handlers of the system `parcel-depot`, made from its contracts by `tasker contract stubs`. The file is yours:
// fill in the functions at its end, and keep the types in step with the contracts.
//
// Dependencies: tasker-worker and zod. The program: `await worker.run();`

import { Permanent, step, Worker } from "tasker-worker";
import { z } from "zod";

export const ParcelAcceptInputLinesItem = z.object({
  quantity: z.int().gte(1),
  sku: z.string(),
});
export type ParcelAcceptInputLinesItem = z.infer<typeof ParcelAcceptInputLinesItem>;

export const ParcelAcceptInputSizeOption2 = z.object({
  height: z.number(),
});
export type ParcelAcceptInputSizeOption2 = z.infer<typeof ParcelAcceptInputSizeOption2>;

export const ParcelAcceptInputSize = z.union([z.string(), ParcelAcceptInputSizeOption2]);
export type ParcelAcceptInputSize = z.infer<typeof ParcelAcceptInputSize>;

export const ParcelAcceptInputStatus = z.enum(["open"]);
export type ParcelAcceptInputStatus = z.infer<typeof ParcelAcceptInputStatus>;

export const ParcelAcceptInputType = z.enum(["small", "2-man", "", "größe", "Self", "small!"]);
export type ParcelAcceptInputType = z.infer<typeof ParcelAcceptInputType>;

export const ParcelAcceptInput = z.strictObject({
  lines: z.array(ParcelAcceptInputLinesItem).min(1),
  note: z.string().max(200).nullable(),
  /** The shop's number. */
  "order-id": z.string().regex(new RegExp("^[A-Z]\\d+$", "u")).min(1).max(64).describe("The shop's number."),
  status: ParcelAcceptInputStatus,
  type: ParcelAcceptInputType,
  weight: z.number().gt(0).lte(31.5),
  "2nd_try": z.boolean().optional(),
  ["__proto__"]: z.string().optional(),
  deliver_on: z.string().meta({ format: "date" }).optional(),
  "größe": z.int().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  model_year: z.int().optional(),
  order_id: z.int().optional(),
  priority: z.literal([1, 2, "express"]).nullable().optional(),
  remark: z.string().nullable().optional(),
  schema: z.unknown().optional(),
  size: ParcelAcceptInputSize.nullable().optional(),
});
export type ParcelAcceptInput = z.infer<typeof ParcelAcceptInput>;

export const ParcelAcceptResultNeighboursItem = z.union([z.string(), z.int()]);
export type ParcelAcceptResultNeighboursItem = z.infer<typeof ParcelAcceptResultNeighboursItem>;

export const ParcelAcceptResult = z.object({
  parcel: z.string().meta({ format: "uuid" }),
  shelf: z.int().nullable(),
  taken_at: z.string().meta({ format: "date-time" }),
  neighbours: z.array(ParcelAcceptResultNeighboursItem).meta({ uniqueItems: true }).optional(),
});
export type ParcelAcceptResult = z.infer<typeof ParcelAcceptResult>;

export const ParcelAcceptTooHeavyDetails = z.object({
  limit: z.number(),
});
export type ParcelAcceptTooHeavyDetails = z.infer<typeof ParcelAcceptTooHeavyDetails>;

/** One stop of a tour. */
export const TourPlanInputStop = z.object({
  place: z.string(),
  get next() {
    return TourPlanInputStop.optional();
  },
  get others() {
    return z.array(TourPlanInputStop).optional();
  },
});
export type TourPlanInputStop = z.infer<typeof TourPlanInputStop>;

export const WorkerInput = z.object({
  a: z.string(),
  b: z.boolean().nullable().optional(),
});
export type WorkerInput = z.infer<typeof WorkerInput>;

/**
 * Takes a parcel in. Never end a comment with *\/ or """.
 *
 * Asking again gives the same parcel.
 */
export const parcelAccept = step(
  "parcel.accept",
  {
    description: "Takes a parcel in. Never end a comment with */ or \"\"\". Asking again gives the same parcel.",
    timeoutMs: 10000,
    input: ParcelAcceptInput,
    output: ParcelAcceptResult,
    errors: {
      "depot.closed": null,
      /** More than a person may carry. */
      "too_heavy": ParcelAcceptTooHeavyDetails,
    },
  },
  async (_input, _ctx) => {
    throw new Permanent("handler.not_written", "`parcel.accept` has no code yet: write the body of `parcelAccept`");
  },
);

export const tourPlan = step(
  "tour.plan",
  {
    input: TourPlanInputStop,
    output: z.array(z.string()),
  },
  async (_input, _ctx) => {
    throw new Permanent("handler.not_written", "`tour.plan` has no code yet: write the body of `tourPlan`");
  },
);

/** Another name that looks the same. */
export const tourPlan2 = step(
  "tour-plan",
  {
    description: "Another name that looks the same.",
  },
  async (_input, _ctx) => {
    throw new Permanent("handler.not_written", "`tour-plan` has no code yet: write the body of `tourPlan2`");
  },
);

/** A keyword for a name. */
export const worker_ = step(
  "worker",
  {
    description: "A keyword for a name.",
    input: WorkerInput,
    output: z.null(),
  },
  async (_input, _ctx) => {
    throw new Permanent("handler.not_written", "`worker` has no code yet: write the body of `worker_`");
  },
);

/** Every capability of the system, each with its handler. */
export const worker = new Worker("parcel-depot", { steps: [parcelAccept, tourPlan, tourPlan2, worker_] });
