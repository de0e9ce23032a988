/**
 * A zod schema seen from both sides: the JSON Schema that is announced, and the
 * check that a value passes. Both are made once, when the step is defined.
 */
import { z } from "zod";
import { type Violation, WorkerError } from "./errors.js";
import { VIOLATIONS_MAX } from "./limits.js";

/** A value that fits, as the schema leaves it (defaults filled in), or what is wrong with it. */
export type Checked = { fits: true; value: unknown } | { fits: false; violations: Violation[] };

type Parsed = { success: true; data: unknown } | { success: false; error: z.core.$ZodError };

/** One schema of a capability. */
export class Contract {
  /** JSON Schema 2020-12, as text, as it is announced. */
  readonly jsonSchema: string;
  /** The schema's own description, empty if it has none. */
  readonly description: string;
  readonly #schema: z.ZodType;
  // Only a schema with asynchronous refinements needs a promise, and only running it tells.
  #asynchronous = false;

  /**
   * `side` says which end of a schema with defaults or transforms crosses the
   * wire: what goes in for inputs, what comes out for results and details.
   *
   * @throws WorkerError `capability.schema_unrepresentable` if JSON Schema cannot express the type.
   */
  constructor(schema: z.ZodType, side: "input" | "output", where: string) {
    this.#schema = schema;
    this.description = schema.description ?? "";
    try {
      this.jsonSchema = JSON.stringify(z.toJSONSchema(schema, { target: "draft-2020-12", io: side }));
    } catch (error) {
      throw new WorkerError(
        "capability.schema_unrepresentable",
        `${where}: JSON Schema cannot express this type (${messageOf(error)}); ` +
          "use types that JSON has, for example z.iso.datetime() instead of z.date()",
        { cause: error },
      );
    }
  }

  /** Checks one value. The answer is a promise only for schemas with asynchronous refinements. */
  check(value: unknown): Checked | Promise<Checked> {
    if (!this.#asynchronous) {
      try {
        return toChecked(this.#schema.safeParse(value));
      } catch (error) {
        if (!(error instanceof z.core.$ZodAsyncError)) throw error;
        this.#asynchronous = true;
      }
    }
    return this.#schema.safeParseAsync(value).then(toChecked);
  }
}

function toChecked(parsed: Parsed): Checked {
  if (parsed.success) return { fits: true, value: parsed.data };
  const violations = parsed.error.issues
    .slice(0, VIOLATIONS_MAX)
    .map((issue) => ({ pointer: toPointer(issue.path), message: issue.message }));
  return { fits: false, violations };
}

/** RFC 6901: each segment after a slash, with `~` and `/` escaped. */
function toPointer(path: readonly PropertyKey[]): string {
  return path.map((segment) => `/${String(segment).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
