//! The stubs that `tasker contract stubs` writes are accepted by the languages and SDKs they are written for, and run.
//!
//! The files are those that `coordinator/contracts/tests/stubs.rs` compares with what is generated; the Rust one is compiled there.

use std::process::Command;
use tasker_integration_tests::place;

/// What a program prints; the test fails with all of it if the program does.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} starts: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out
}

/// Checks, in any language: a value that the contract admits survives reading and writing, and the handler says that nobody wrote it.
const INPUT: &str = r#"{"type":"2-man","order-id":"A1","weight":2.5,"lines":[{"sku":"x","quantity":2}],"note":null,"status":"open",
"labels":{"a":"b"},"size":{"height":1.5},"priority":"express","2nd_try":true,"model_year":1,"schema":[1],"__proto__":"p","größe":3}"#;

fn check(language: &str, out: &str) {
    let mut lines = out.lines();
    let mut next = || -> serde_json::Value { serde_json::from_str(lines.next().expect("another line")).expect("JSON") };
    let mut written = next();
    // Python writes a field that may be null as null where it was absent; the contract admits both.
    written.as_object_mut().expect("an object").retain(|name, value| name != "remark" || !value.is_null());
    let mut input: serde_json::Value = serde_json::from_str(INPUT).expect("JSON");
    if language == "TypeScript" {
        // zod never writes a prototype, whatever it is given; the field is declared and lost.
        input.as_object_mut().expect("an object").remove("__proto__");
    }
    assert_eq!(written, input, "{language}");
    assert_eq!(next(), serde_json::json!({ "place": "a", "next": { "place": "b" } }), "{language}: a type that contains itself");
    assert_eq!(next(), "handler.not_written", "{language}");
    assert_eq!(next(), serde_json::json!(["too_heavy", "depot.closed"]), "{language}: refused values are refused");
}

#[test]
fn python_imports_reads_writes_and_refuses() {
    let script = r#"
import asyncio, json, sys
import parcel_depot as depot
from pydantic import ValidationError
from tasker_worker import Permanent
from tasker_worker.testing import call

raw = json.loads(sys.argv[1])
value = depot.ParcelAcceptInput.model_validate(raw)
print(value.model_dump_json(by_alias=True))
print(depot.TourPlanInputStop.model_validate({"place": "a", "next": {"place": "b"}}).model_dump_json(by_alias=True))
try:
    asyncio.run(call(depot.parcel_accept, value))
except Permanent as error:
    print(json.dumps(error.code))
for field, broken in [("order-id", "a1"), ("weight", 0), ("lines", []), ("type", "large"), ("unknown", 1)]:
    try:
        depot.ParcelAcceptInput.model_validate({**raw, field: broken})
    except ValidationError:
        continue
    sys.exit(f"{field} = {broken} was admitted")
print(json.dumps(sorted(depot.parcel_accept.errors, reverse=True)))
"#;
    let mut python = Command::new(place::python());
    python.args(["-c", script, INPUT]).env("PYTHONPATH", place::repository().join("coordinator/contracts/tests/stubs"));
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    check("Python", &printed(&mut python));
}

#[test]
fn typescript_compiles_strictly_reads_writes_and_refuses() {
    let sdk = place::repository().join("worker-sdk/typescript");
    let place = tempfile::tempdir().expect("a directory");
    let modules = place.path().join("node_modules");
    std::fs::create_dir(&modules).expect("writable");
    std::os::unix::fs::symlink(&sdk, modules.join("tasker-worker")).expect("a link to the SDK");
    std::os::unix::fs::symlink(sdk.join("node_modules/zod"), modules.join("zod")).expect("a link to zod");
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).expect("writable");
    write("package.json", r#"{ "type": "module" }"#);
    let options = serde_json::json!({
        "extends": sdk.join("tsconfig.json"),
        "compilerOptions": { "rootDir": ".", "outDir": "out", "types": [], "typeRoots": [] },
        "include": ["*.ts"],
    });
    write("tsconfig.json", &options.to_string());
    let stub = std::fs::read_to_string(place::repository().join("coordinator/contracts/tests/stubs/parcel_depot.ts")).expect("committed");
    write("parcel_depot.ts", &stub);
    write(
        "run.mjs",
        r#"
import { call } from "tasker-worker/testing";
import * as depot from "./out/parcel_depot.js";

const raw = JSON.parse(process.argv[2]);
console.log(JSON.stringify(depot.ParcelAcceptInput.parse(raw)));
const tour = { place: "a", next: { place: "b" } };
console.log(JSON.stringify(depot.TourPlanInputStop.parse(tour)));
try {
  await call(depot.tourPlan, tour);
} catch (error) {
  console.log(JSON.stringify(error.code));
}
for (const [field, broken] of [["order-id", "a1"], ["weight", 0], ["lines", []], ["type", "large"], ["unknown", 1]]) {
  if (depot.ParcelAcceptInput.safeParse({ ...raw, [field]: broken }).success) {
    throw new Error(`${field} = ${broken} was admitted`);
  }
}
console.log(JSON.stringify([...depot.parcelAccept.errors.keys()].sort().reverse()));
"#,
    );
    printed(Command::new(sdk.join("node_modules/.bin/tsc")).args(["-p", "."]).current_dir(place.path()));
    check("TypeScript", &printed(Command::new("node").args(["run.mjs", INPUT]).current_dir(place.path())));
}
