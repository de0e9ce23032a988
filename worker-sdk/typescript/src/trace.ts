/**
 * One trace across processes: the producer's span comes with the step request,
 * the handler runs inside a consumer span that is its child.
 *
 * A program that has set up OpenTelemetry itself is left alone: its provider and
 * its context manager are used. Otherwise, and only if an OTLP endpoint is
 * configured, this SDK exports over OTLP/HTTP on its own.
 */
import {
  type Context,
  context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type SpanContext,
  type Tracer,
  isSpanContextValid,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { TRACE_SHUTDOWN_MS } from "./limits.js";
import type { Logger } from "./log.js";
import { withTimeout } from "./timer.js";
import { SDK_NAME, SDK_VERSION } from "./version.js";

/** Where a handler stands in its trace; all texts are empty if the request brought no trace and none is recorded. */
export interface TraceIdentity {
  readonly traceId: string;
  readonly spanId: string;
  /** W3C Trace Context of the consumer span, for systems that OpenTelemetry does not instrument. */
  readonly traceparent: string;
  readonly tracestate: string;
}

/** What the span of an attempt says about it. */
export interface TracedAttempt {
  taskId: string;
  stepName: string;
  attempt: number;
  capability: string;
  traceparent: string;
  tracestate: string;
}

const NOWHERE: TraceIdentity = { traceId: "", spanId: "", traceparent: "", tracestate: "" };

// The shape of W3C Trace Context; later versions may append fields, version ff is not allowed.
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Reads the producer's span; an unreadable one starts no trace and is no error. */
export function parseTraceparent(traceparent: string, tracestate: string): SpanContext | undefined {
  const match = TRACEPARENT.exec(traceparent);
  if (match === null || (match[1] === "00" && match[5] !== undefined)) return undefined;
  const spanContext: SpanContext = {
    traceId: match[2] as string,
    spanId: match[3] as string,
    traceFlags: Number.parseInt(match[4] as string, 16),
    isRemote: true,
  };
  if (tracestate !== "") spanContext.traceState = createTraceState(tracestate);
  return isSpanContextValid(spanContext) ? spanContext : undefined;
}

function identify(spanContext: SpanContext): TraceIdentity {
  if (!isSpanContextValid(spanContext)) return NOWHERE;
  const flags = spanContext.traceFlags.toString(16).padStart(2, "0");
  return {
    traceId: spanContext.traceId,
    spanId: spanContext.spanId,
    traceparent: `00-${spanContext.traceId}-${spanContext.spanId}-${flags}`,
    tracestate: spanContext.traceState?.serialize() ?? "",
  };
}

/** The consumer span of one attempt. */
export class AttemptSpan {
  readonly identity: TraceIdentity;
  readonly #span: Span;
  readonly #context: Context;

  constructor(span: Span, parent: Context) {
    this.#span = span;
    this.#context = trace.setSpan(parent, span);
    this.identity = identify(span.spanContext());
  }

  /** Runs a function, and everything it awaits, with this span as the current one. */
  run<T>(work: () => T): T {
    return context.with(this.#context, work);
  }

  succeeded(): void {
    this.#span.end();
  }

  failed(code: string, message: string): void {
    this.#span.setAttribute("error.type", code);
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message });
    this.#span.end();
  }
}

/** Starts the consumer spans of one system. */
export class Tracing {
  readonly #tracer: Tracer;
  readonly #destinationTemplate: string;

  constructor(
    readonly system: string,
    readonly namespace: string,
    subjectPrefix = "tasker",
  ) {
    this.#tracer = trace.getTracer(SDK_NAME, SDK_VERSION);
    this.#destinationTemplate = `${subjectPrefix}.v1.{namespace}.{system}.to.{session}`;
  }

  start(attempt: TracedAttempt): AttemptSpan {
    const producer = parseTraceparent(attempt.traceparent, attempt.tracestate);
    const parent = producer === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, producer);
    const attributes = {
      "messaging.system": "nats",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.template": this.#destinationTemplate,
      "messaging.message.conversation_id": attempt.taskId,
      "tasker.task.id": attempt.taskId,
      "tasker.step.name": attempt.stepName,
      "tasker.attempt.number": attempt.attempt,
      "tasker.capability.name": attempt.capability,
      "tasker.system": this.system,
      "tasker.namespace": this.namespace,
    };
    const span = this.#tracer.startSpan(
      `process ${attempt.capability}`,
      { kind: SpanKind.CONSUMER, attributes },
      parent,
    );
    return new AttemptSpan(span, parent);
  }
}

/** Sends what is left to send. Never throws: a trace is not worth an exit code. */
export type ShutdownTracing = () => Promise<void>;

/**
 * Makes spans current across awaits, and exports them if
 * `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set.
 * Called again, or after the program's own set-up, it changes nothing.
 */
export async function setUpTracing(
  system: string,
  systemVersion: string,
  environment: NodeJS.ProcessEnv,
  log: Logger,
): Promise<ShutdownTracing> {
  const contexts = new AsyncLocalStorageContextManager().enable();
  if (!context.setGlobalContextManager(contexts)) contexts.disable();

  const nothing = async (): Promise<void> => {};
  const endpoint = environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (!endpoint || environment.OTEL_SDK_DISABLED === "true") return nothing;

  // Loaded only now: most workers under test never export, and these modules are most of the start-up time.
  const [{ BasicTracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }, { resourceFromAttributes, defaultResource, envDetector, detectResources }] =
    await Promise.all([
      import("@opentelemetry/sdk-trace-base"),
      import("@opentelemetry/exporter-trace-otlp-proto"),
      import("@opentelemetry/resources"),
    ]);
  const own = resourceFromAttributes({ "service.name": system, "service.version": systemVersion });
  const named = detectResources({ detectors: [envDetector] });
  const provider = new BasicTracerProvider({
    resource: defaultResource().merge(own).merge(named),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  if (!trace.setGlobalTracerProvider(provider)) {
    await provider.shutdown();
    return nothing;
  }
  log.info("exporting traces", { endpoint: withoutSecrets(endpoint) });
  return async () => {
    try {
      await withTimeout(provider.shutdown(), TRACE_SHUTDOWN_MS);
    } catch (error) {
      log.warn("the last traces were not exported", { cause: String(error) });
    } finally {
      trace.disable();
    }
  };
}

/** An endpoint may carry a password; a log must not. */
function withoutSecrets(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return "[unreadable]";
  }
}
